package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/wording"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/templates"
)

// templateSteps: a number is given once, an author never approves, and nothing is
// done twice; the mark moves with each step that was kept and with no other.
func templateSteps(t *testing.T, b Bench) {
	store := b.Store.(wording.Store)
	draft := templates.Draft{Name: "mine", Category: "follow_up", Content: "minimal", Variables: []templates.Variable{{Name: "text", Kind: "text", Max: 9, Lines: true}}, Source: "== en sms normal\nHello ñ"}
	other := draft
	other.Source += "!"
	mark := func() string {
		m, err := store.TemplatesMark(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for i, c := range []struct {
		actor string
		step  gateway.TemplateStep
		kept  bool
	}{
		{"ana", gateway.TemplateStep{Do: gateway.AddTemplate, Name: "mine", Version: 1, Draft: draft}, true},
		{"ben", gateway.TemplateStep{Do: gateway.AddTemplate, Name: "mine", Version: 1, Draft: other}, false},
		{"ben", gateway.TemplateStep{Do: gateway.AddTemplate, Name: "mine", Version: 2, Draft: other}, true},
		{"ana", gateway.TemplateStep{Do: gateway.ApproveTemplate, Name: "mine", Version: 1}, false},
		{"ana", gateway.TemplateStep{Do: gateway.ApproveTemplate, Name: "mine", Version: 3}, false},
		{"ben", gateway.TemplateStep{Do: gateway.ApproveTemplate, Name: "mine", Version: 1}, true},
		{"eva", gateway.TemplateStep{Do: gateway.ApproveTemplate, Name: "mine", Version: 1}, false},
		{"eva", gateway.TemplateStep{Do: gateway.RetireTemplate, Name: "mine", Version: 1}, true},
		{"ana", gateway.TemplateStep{Do: gateway.RetireTemplate, Name: "mine", Version: 1}, false},
		{"ben", gateway.TemplateStep{Do: gateway.RetireTemplate, Name: "mine", Version: 2}, true},
		{"ana", gateway.TemplateStep{Do: gateway.ApproveTemplate, Name: "mine", Version: 2}, false},
	} {
		before := mark()
		_, err := b.try(gateway.Change{Actor: c.actor, Templates: []gateway.TemplateStep{c.step}, Audit: []gateway.Audit{{Verb: "template.test", Object: fmt.Sprint(i)}}})
		if c.kept != (err == nil) || err != nil && !errors.Is(err, gateway.ErrStale) {
			t.Errorf("step %d: %v", i, err)
		}
		if c.kept == (before == mark()) {
			t.Errorf("step %d: the mark is wrong", i)
		}
	}
	rows, err := b.Store.Audits(context.Background(), 0, 100)
	if err != nil || len(rows) != 5 {
		t.Errorf("%d entries in the audit log, %v: a refused step left one, or a kept step none", len(rows), err)
	}
	list, err := store.TemplateVersions(context.Background(), "mine")
	if err != nil || len(list) != 2 {
		t.Fatal(len(list), err)
	}
	if v := list[0]; v.Digest != draft.Digest() || v.Draft.Digest() != draft.Digest() || v.CreatedBy != "ana" || v.ApprovedBy != "ben" || v.RetiredBy != "eva" || v.Approved.IsZero() || v.Retired.IsZero() {
		t.Errorf("reads back as another: %+v", v)
	}
	if list, err := store.TemplateVersions(context.Background(), "yours"); err != nil || len(list) != 0 {
		t.Errorf("texts of another name: %v, %v", list, err)
	}
}

// oneApproval: two people approve at once, and one of them did.
func oneApproval(t *testing.T, b Bench) {
	b.commit(t, gateway.Change{Actor: "ana", Templates: []gateway.TemplateStep{{Do: gateway.AddTemplate, Name: "mine", Version: 1}}})
	var all sync.WaitGroup
	var kept atomic.Int64
	for n := range 8 {
		all.Go(func() {
			_, err := b.try(gateway.Change{Actor: fmt.Sprint("person ", n), Templates: []gateway.TemplateStep{{Do: gateway.ApproveTemplate, Name: "mine", Version: 1}}})
			if err == nil {
				kept.Add(1)
			} else if !errors.Is(err, gateway.ErrStale) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if kept.Load() != 1 {
		t.Errorf("%d approvals", kept.Load())
	}
}

// wordingKept: an attempt says which words went out.
func wordingKept(t *testing.T, b Bench) {
	patient, address := b.enrol(t, "p1", "+13035550111")
	message := b.accept(t, patient)
	a := gateway.Attempt{ID: b.NewID(), Message: message, Number: 1, Pair: preferences.Pair{Channel: 1, Address: address}, Status: gateway.AttemptClaimed, At: b.Now(), Form: "full", Wording: "beef"}
	b.commit(t, gateway.Change{Steps: []gateway.Step{{Message: message, Patient: patient, From: gateway.Waiting, To: gateway.Sending, Lease: b.Now(), Attempt: &a}}})
	if got, err := b.Store.Attempt(context.Background(), a.ID); err != nil || got.Wording != "beef" {
		t.Errorf("%+v, %v", got, err)
	}
}
