package store

import (
	"context"
	"time"

	"harmonize.care/heed/gateway"
)

// WasHeard says whether a provider's event was kept.
func (d *DB) WasHeard(ctx context.Context, source, event string) (bool, error) {
	var n int
	err := d.read.QueryRowContext(ctx, "SELECT COUNT(*) FROM seen WHERE source = $1 AND event = $2", source, event).Scan(&n)
	return n > 0, err
}

// Reached lists what was sent or delivered to an address of a patient by text or call.
func (d *DB) Reached(ctx context.Context, h gateway.Holder, categories []string, since time.Time, limit int) ([]gateway.Message, error) {
	got, err := d.messages(ctx, `WHERE m.patient = $1 AND m.status IN (3, 4) AND `+d.amongTexts("m.category", 3)+` AND EXISTS (SELECT 1 FROM attempts t
		WHERE t.message = m.id AND t.address = $2 AND t.channel IN (1, 2) AND t.status IN (4, 5) AND t.at >= $4) ORDER BY m.id DESC LIMIT $5`,
		h.Patient, h.Address, keysOf(d, setOf(categories)), micros(since), limit)
	if err != nil {
		return nil, err
	}
	return got, d.fill(ctx, got)
}
