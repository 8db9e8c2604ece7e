package main

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/campaign"
	"harmonize.care/heed/preferences"
)

// TestReplicasThatDrawTheSameID lets two claims bring the same new message id, as two replicas
// do now and then that draw many in the same microsecond: the second claim keeps nothing, and
// nobody is passed over for another one's message.
func TestReplicasThatDrawTheSameID(t *testing.T) {
	f := newTroupe(t, "sqlite:"+filepath.Join(t.TempDir(), "heed.db"), 1, time.Second, func(string) bool { return false })
	f.enrol(2)
	ctx, db, same := context.Background(), f.replicas[0].db, f.ids.New()
	c, err := db.Campaign(ctx, f.campaign(channels.Email))
	if err != nil {
		t.Fatal(err)
	}
	claim := func(message int64) error {
		shards, err := db.CampaignShards(ctx, c.ID)
		if err != nil || len(shards) == 0 {
			t.Fatal(err, shards)
		}
		rows, err := db.RecipientsAhead(ctx, c.ID, shards[0], 1)
		if err != nil || len(rows) != 1 {
			t.Fatal(err, rows)
		}
		known, err := db.Snapshots(ctx, []int64{rows[0].Patient})
		if err != nil {
			t.Fatal(err)
		}
		s := known[rows[0].Patient]
		got, err := db.ClaimSlices(ctx, campaign.Claim{
			At: f.now(), Campaign: c, Lane: campaign.Lane{Shard: shards[0].No, From: shards[0].Cursor, To: rows[0].Pos},
			Slices: []campaign.Slice{{ID: f.ids.New(), Channel: channels.Email, Program: channels.Marketing, Batch: true, Lease: f.now().Add(time.Minute), Items: []campaign.Item{{
				Pos: rows[0].Pos, Patient: rows[0].Patient, Message: message, Attempt: f.ids.New(), Number: 1, Version: s.Version, Pair: pairOf(s, channels.Email),
			}}}},
		})
		if err == nil && (got.Lost || len(got.Gone) > 0) {
			t.Fatalf("nobody was claimed: %+v", got)
		}
		return err
	}
	if err := claim(same); err != nil {
		t.Fatal(err)
	}
	if err := claim(same); err == nil {
		t.Fatal("two people have one message")
	}
	if err := claim(f.ids.New()); err != nil {
		t.Fatal(err)
	}
}

// pairOf is the first address of a channel.
func pairOf(s *preferences.Snapshot, ch channels.Channel) preferences.Pair {
	for i := range s.Addresses {
		if a := &s.Addresses[i]; (a.Kind == channels.Mailbox) == (ch == channels.Email) {
			return preferences.Pair{Channel: ch, Address: a.ID}
		}
	}
	return preferences.Pair{}
}
