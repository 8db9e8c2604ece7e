package fhir

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
	"harmonize.care/heed/preferences/policy"
)

// result is what one resource came to.
type result struct {
	status   int
	messages []int64 // that carry it out
	issues   []issue
}

func refusedResult(r *refusal) result { return result{status: r.status, issues: r.issues} }

func (r result) refused() bool { return r.status >= http.StatusBadRequest }

// longAgo is how late a request for a moment may come: what lies further back is
// history that is sent along, and not a wish.
const longAgo = 24 * time.Hour

// carryOut judges a CommunicationRequest against the messages that it has led to.
func (s *Server) carryOut(ctx context.Context, b *dispatch.Batch, o *order) (result, error) {
	old, err := s.messagesOf(ctx, o.names)
	if err != nil {
		return result{}, err
	}
	res := result{status: http.StatusOK, issues: slices.Clone(o.notes)}
	replaced, err := s.messagesOf(ctx, o.replaces)
	if err != nil {
		return result{}, err
	}
	if o.standing != inForce {
		heard := len(old) > 0
		if o.forbids {
			old = append(old, replaced...)
		}
		withdraw(b, o, old, &res)
		if o.standing == ended && o.whole && !o.history && !heard {
			err = remember(ctx, b, o, &res)
		}
		return res, err
	}
	if len(old) >= dispatch.MaxReference {
		return refusedResult(refuse(http.StatusConflict, r4.IssueTypeTooCostly, o.path, "This request was changed too often. Send a new one, with an id of its own.")), nil
	}
	add, replaces := s.stillToDo(b, o, old, &res)
	if !add {
		return res, nil
	}
	got, err := b.Accept(ctx, o.ask)
	if err != nil {
		return result{}, err
	}
	if no := unacceptable(got.Err, o.path); no != nil {
		return refusedResult(no), nil
	}
	for _, id := range replaces {
		b.Cancel(id, dispatch.Replaced)
	}
	for _, id := range waiting(replaced) {
		b.Cancel(id, codeInstead)
	}
	if o.ask.Reference != "" {
		b.Turn(o.ask.Reference, under(o.ask.Reference, old))
	}
	res.status, res.messages = http.StatusCreated, []int64{got.ID}
	res.issues = append(res.issues, decided(got.Decision.Decision)...)
	return res, nil
}

// messagesOf reads the messages that stand under any of the names, each once.
func (s *Server) messagesOf(ctx context.Context, names []string) ([]gateway.Message, error) {
	var all []gateway.Message
	for _, name := range names {
		got, err := s.Store.Messages(ctx, gateway.MessageFilter{Reference: name, Limit: dispatch.MaxReference})
		if err != nil {
			return nil, err
		}
		for i := range got {
			if !slices.ContainsFunc(all, func(m gateway.Message) bool { return m.ID == got[i].ID }) {
				all = append(all, got[i])
			}
		}
	}
	return all, nil
}

// under counts those that stand under one name.
func under(name string, list []gateway.Message) int {
	n := 0
	for i := range list {
		if list[i].Reference == name {
			n++
		}
	}
	return n
}

func waiting(list []gateway.Message) []int64 {
	var ids []int64
	for i := range list {
		if list[i].Status == gateway.Waiting {
			ids = append(ids, list[i].ID)
		}
	}
	return ids
}

// withdraw takes back what waits for a request that is not, or no longer, in force.
func withdraw(b *dispatch.Batch, o *order, old []gateway.Message, res *result) {
	if o.standing == idle {
		res.issues = append(res.issues, note(o.path, "A prohibition that is not in force changes nothing."))
		return
	}
	code, why := codeRevoked, "Nothing goes out for this request."
	if o.standing == onHold {
		code, why = codeOnHold, "Nothing goes out for this request while it is not active."
	}
	back := waiting(old)
	for _, id := range back {
		b.Cancel(id, code)
	}
	res.messages = back
	switch {
	case len(back) > 0:
		res.issues = append(res.issues, note(o.path, fmt.Sprintf("%s %d that waited taken back.", why, len(back))))
	case len(old) > 0:
		res.issues = append(res.issues, warn(o.path, why+" Nothing waits for it any more; GET /fhir/Communication tells what became of it."))
	default:
		res.issues = append(res.issues, note(o.path, why+" Nothing had been asked for."))
	}
}

// remember keeps a request that was taken back before it was ever heard of, as a message
// that was: Communication tells it, and the word that it comes from, arriving late, finds
// it taken back.
func remember(ctx context.Context, b *dispatch.Batch, o *order, res *result) error {
	o.ask.Slot = slotOf(&o.ask)
	got, err := b.Accept(ctx, o.ask)
	if err != nil || got.Err != nil { // what could not be sent need not be remembered
		return err
	}
	b.Cancel(got.ID, codeRevoked)
	b.Turn(o.ask.Reference, 0)
	res.messages = []int64{got.ID}
	return nil
}

// stillToDo says whether a message is to be added for a request in force, and which
// waiting ones it takes the place of. A request leads to one message at most: what was
// handed over, or ended by a rule, is not tried again because it is told again.
func (s *Server) stillToDo(b *dispatch.Batch, o *order, old []gateway.Message, res *result) (add bool, replaces []int64) {
	o.ask.Slot = slotOf(&o.ask)
	for i := range old {
		m := &old[i]
		switch {
		case m.Status == gateway.Canceled && (m.Code == codeOnHold || m.Code == dispatch.Replaced):
		case m.Status == gateway.Canceled:
			return false, s.no(res, refuse(http.StatusConflict, r4.IssueTypeBusinessRule, o.path, "This request was taken back for good. Send a new one, with an id of its own."))
		case m.Status == gateway.Waiting && m.Body.Slot == o.ask.Slot:
			res.messages = []int64{m.ID}
			res.issues = append(res.issues, note(o.path, "This was asked for before, and waits."))
			return false, nil
		case m.Status == gateway.Waiting:
			replaces = append(replaces, m.ID)
		default:
			res.messages = []int64{m.ID}
			if m.Body.Slot == o.ask.Slot || m.Body.Slot == "" {
				res.issues = append(res.issues, note(o.path, "This was asked for before, and was carried out or ended."))
			} else {
				res.issues = append(res.issues, warn(o.path, "This request was carried out or ended before it was changed: the change is not sent. Send a new one, with an id of its own."))
			}
			return false, nil
		}
	}
	if !o.moment.IsZero() && o.moment.Before(b.At().Add(-longAgo)) {
		return false, s.no(res, refuse(http.StatusUnprocessableEntity, r4.IssueTypeExpired, o.path+".occurrence", "The moment lies more than a day back."))
	}
	return true, replaces
}

func (s *Server) no(res *result, r *refusal) []int64 {
	*res = refusedResult(r)
	return nil
}

// slotOf tells a request from a changed one, and tells nothing else of it.
func slotOf(r *dispatch.Request) string {
	plain := *r
	plain.SendAt, plain.Expires, plain.Slot = r.SendAt.UTC(), r.Expires.UTC(), ""
	said, _ := json.Marshal(plain) // plain data always marshals
	sum := sha256.Sum256(said)
	return "request " + hex.EncodeToString(sum[:12])
}

// elements are where the fields of a message stand in a CommunicationRequest.
var elements = map[string]string{
	"category": ".category", "template": ".extension", "variables": ".payload", "expires_at": ".occurrence",
}

const (
	saidNobody = "No patient on file has this id: put the patient on file first."
	saidErased = "This patient was erased; the id is not used again."
)

// unacceptable tells why a message was not taken in; nil when it was.
func unacceptable(err error, path string) *refusal {
	var wrongs gateway.Invalid
	switch {
	case err == nil:
		return nil
	case errors.Is(err, gateway.ErrNotFound):
		return refuse(http.StatusUnprocessableEntity, r4.IssueTypeNotFound, path+".subject", saidNobody)
	case errors.Is(err, gateway.ErrErased):
		return refuse(http.StatusConflict, r4.IssueTypeDeleted, path+".subject", saidErased)
	case errors.As(err, &wrongs):
		r := &refusal{status: http.StatusUnprocessableEntity}
		for _, m := range wrongs {
			r.issues = append(r.issues, wrong(r4.IssueTypeBusinessRule, path+elements[m.Field], "The message's "+m.Field+": "+m.Problem+"."))
		}
		return r
	}
	return refuse(http.StatusUnprocessableEntity, r4.IssueTypeProcessing, path, "It cannot become a message.")
}

// decided tells the decision as it would be now; it is decided again when it is due.
func decided(d policy.Decision) []issue {
	i := issue{severity: r4.IssueSeverityInformation, code: r4.IssueTypeInformational, rule: string(d.Code)}
	switch d.Outcome {
	case policy.Send:
		i.words = "Taken in. As things stand it goes out at its time."
	case policy.Defer:
		i.words = "Taken in. As things stand it waits: " + d.Code.Sentence()
	case policy.Suppress:
		i.severity, i.code, i.words = r4.IssueSeverityWarning, r4.IssueTypeSuppressed, "Taken in. As things stand it will not be sent: "+d.Code.Sentence()
	case policy.NeedsStaff:
		i.severity, i.code, i.words = r4.IssueSeverityWarning, r4.IssueTypeSuppressed, "Taken in. As things stand a person will have to do it: "+d.Code.Sentence()
	}
	list := []issue{i}
	if d.UrgentIgnored {
		list = append(list, note("", "Its priority changes nothing: only what is essential can be urgent."))
	}
	return list
}

// given says whether a resource has an element, at its top.
func given(raw []byte, element string) bool {
	var top map[string]json.RawMessage
	if json.Unmarshal(raw, &top) != nil {
		return false
	}
	_, there := top[element]
	return there
}

func isZero(v any) bool { return reflect.ValueOf(v).IsZero() }

func locationOf(message int64) string { return "Communication/" + strconv.FormatInt(message, 10) }
