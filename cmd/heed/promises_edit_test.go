package main_test

import (
	"testing"

	"harmonize.care/heed/channels"
)

// A stop of a number that a patient no longer has is no edit.
func TestVerifyAfterAStopOnAFormerNumber(t *testing.T) {
	w := newWorld(t)
	_, in := w.replica(w.db, &adapter{}, nil, nil)
	w.enrol(in, "p", "+13035550111", "+13035550222")
	w.enrol(in, "p", "+13035550222")
	if err := in.Text(bg, "twilio", text("SM1", "STOP", w.clock.now())); err != nil {
		t.Fatal(err)
	}
	v, err := w.db.Verify(bg)
	if err != nil || len(v.Faults) > 0 {
		t.Errorf("nothing was edited, and verify says: %v %v", v.Faults, err)
	}
}

// A stop, and the words that made it, are taken out of the database by hand.
func TestVerifyFindsAStopTakenAway(t *testing.T) {
	w := newWorld(t)
	_, in := w.replica(w.db, &adapter{}, nil, nil)
	if err := in.Text(bg, "twilio", text("SM1", "STOP", w.clock.now())); err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.Seal(bg, true); err != nil {
		t.Fatal(err)
	}
	raw := w.raw()
	if _, err := raw.Exec("UPDATE numbers SET stops = 0, said = '{}'"); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Exec("UPDATE ledger SET sealed = NULL WHERE kind <> 'x'"); err != nil {
		t.Fatal(err)
	}
	v, err := w.db.Verify(bg)
	if err != nil || len(v.Faults) == 0 {
		t.Errorf("a stop and the words that made it were taken out by hand; verify: %+v %v", v, err)
	}
}

// The ends of ledger, audit log and chain are cut off.
func TestVerifyFindsTheEndCutOff(t *testing.T) {
	w := newWorld(t)
	_, in := w.replica(w.db, &adapter{}, nil, nil)
	p := w.enrol(in, "p", "+13035550111")
	if _, err := w.db.Seal(bg, true); err != nil {
		t.Fatal(err)
	}
	if err := in.Stop(bg, "mallory", "+13035550999", channels.Care, false, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.Seal(bg, true); err != nil {
		t.Fatal(err)
	}
	raw := w.raw()
	for _, q := range []string{
		"DELETE FROM seals WHERE row_id IN (SELECT id FROM audit WHERE actor='mallory') OR row_id IN (SELECT id FROM ledger WHERE subject LIKE 'n%')",
		"DELETE FROM audit WHERE actor='mallory'", "DELETE FROM ledger WHERE subject LIKE 'n%'", "UPDATE numbers SET stops=0, said='{}'",
	} {
		if _, err := raw.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	_ = p
	v, err := w.db.Verify(bg)
	if err != nil || len(v.Faults) == 0 {
		t.Errorf("the end of ledger and audit log was cut off; verify: %+v %v", v, err)
	}
}
