package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// diffPolicy makes every recorded decision again, a page at a time.
func (c *command) diffPolicy(ctx context.Context, h *house, p *policy.Policy) error {
	type change struct {
		Decision string `json:"decision"`
		Message  string `json:"message"`
		Was      string `json:"was"`
		WouldBe  string `json:"would_be"`
		// Differs tells every pair that would be judged in another way.
		Differs []string `json:"differs"`
	}
	changes, seen, erased := []change{}, 0, 0
	for after := int64(0); ; {
		kept, err := h.db.Decisions(ctx, 0, after, 500)
		if err != nil {
			return err
		}
		for _, record := range kept {
			after = record.ID
			seen++
			if record.Body == nil {
				erased++ // of a patient who is gone: nothing is left to decide on
				continue
			}
			r, err := h.dispatcher.Kept(ctx, record)
			if err != nil {
				return err
			}
			again := p.Decide(r.Snapshot, r.Question)
			if !policy.Same(r.Decision, again) {
				changes = append(changes, change{fmt.Sprint(record.ID), fmt.Sprint(record.Message), inShort(r.Decision), inShort(again), differences(r.Decision, again)})
			}
		}
		if len(kept) < 500 {
			break
		}
	}
	return c.answer(map[string]any{"decisions": seen, "erased": erased, "changes": changes}, func(w io.Writer) {
		fmt.Fprintf(w, "%d recorded decisions, %d would change.\n", seen, len(changes))
		if erased > 0 {
			fmt.Fprintf(w, "%d of them are of erased patients and cannot be made again.\n", erased)
		}
		for _, ch := range changes {
			fmt.Fprintf(w, "  message %s: %s -> %s\n", ch.Message, ch.Was, ch.WouldBe)
			for _, line := range ch.Differs {
				fmt.Fprintf(w, "    %s\n", line)
			}
		}
	})
}

func inShort(d policy.Decision) string {
	words := []string{d.Outcome.String()}
	if d.Pair.Channel != 0 {
		words = append(words, d.Pair.Channel.String(), d.Form.String())
	}
	if d.Code != "" {
		words = append(words, string(d.Code))
	}
	return strings.Join(words, " ")
}

// differences tells what differs between two decisions on the same facts, pair by pair.
func differences(was, now policy.Decision) []string {
	list := []string{}
	if was.Form != now.Form && was.Pair == now.Pair {
		list = append(list, "content: "+was.Form.String()+" -> "+now.Form.String())
	}
	if !was.Until.Equal(now.Until) {
		list = append(list, "until: "+momentInShort(was.Until)+" -> "+momentInShort(now.Until))
	}
	at := func(d policy.Decision, p preferences.Pair) string {
		for _, c := range d.Considered {
			if c.Pair == p {
				words := []string{c.Verdict.String(), string(c.Code)}
				if !c.Until.IsZero() {
					words = append(words, "until", momentInShort(c.Until))
				}
				if c.Verdict != policy.Refused {
					words = append(words, c.Form.String())
				}
				return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
			}
		}
		return "not offered"
	}
	seen := map[preferences.Pair]bool{}
	for _, c := range slices.Concat(was.Considered, now.Considered) {
		if seen[c.Pair] {
			continue
		}
		seen[c.Pair] = true
		if before, after := at(was, c.Pair), at(now, c.Pair); before != after {
			list = append(list, fmt.Sprintf("%s to address %d: %s -> %s", c.Pair.Channel, c.Pair.Address, before, after))
		}
	}
	if len(list) == 0 {
		list = append(list, "the ways are tried in another order")
	}
	return list
}

func momentInShort(t time.Time) string {
	if t.IsZero() {
		return "now"
	}
	return t.UTC().Format(time.RFC3339)
}
