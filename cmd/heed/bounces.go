package main

import "context"

// fetchBounces reads what the relay's server left in the mailbox for bounces.
func (s *server) fetchBounces(ctx context.Context) error {
	_, err := s.carriers.mailbox.Fetch(ctx, func(raw []byte) error {
		for _, e := range s.carriers.bounces.Letter(raw, s.now()) {
			if err := s.dispatcher.Delivery(ctx, "smtp", e); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}
