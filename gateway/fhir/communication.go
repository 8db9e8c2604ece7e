package fhir

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/dispatch"
)

// How many messages one page of a search tells: each that was delivered is read by itself.
const (
	defaultCount = 50
	maxCount     = 100
)

// search tells what became of everything meant for a patient, oldest first.
func (c *call) search() (answer, error) {
	q := c.URL.Query()
	for name := range q {
		switch name {
		case "subject", "patient", "_count", "page", "_format":
		default: // a filter that is not applied would give an answer to another question
			return answer{}, refuse(http.StatusBadRequest, r4.IssueTypeNotSupported, "", "A parameter is not one of subject, patient, _count and page.")
		}
	}
	ref, err := subjectOf(q)
	if err != nil {
		return answer{}, err
	}
	f := gateway.MessageFilter{Limit: defaultCount}
	if count := q.Get("_count"); count != "" {
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 {
			return answer{}, refuse(http.StatusBadRequest, r4.IssueTypeValue, "", "_count is a whole number from 1.")
		}
		f.Limit = min(n, maxCount)
	}
	if page := q.Get("page"); page != "" {
		if f.After, err = strconv.ParseInt(page, 10, 64); err != nil || f.After < 0 {
			return answer{}, refuse(http.StatusBadRequest, r4.IssueTypeValue, "", "page is what a link of the page before gives.")
		}
	}
	if f.Patient, err = c.Store.PatientID(c.Context(), ref); err != nil {
		return answer{}, err
	}
	found, err := c.Store.Messages(c.Context(), f)
	if err != nil {
		return answer{}, err
	}
	told, err := c.page(found, f, ref)
	if err != nil {
		return answer{}, err
	}
	return told, c.seen("messages.read", fmt.Sprintf("patient:%d", f.Patient), "")
}

// subjectOf reads whose messages are asked for.
func subjectOf(q url.Values) (string, error) {
	given := append(q["subject"], q["patient"]...)
	if len(given) != 1 {
		return "", refuse(http.StatusBadRequest, r4.IssueTypeRequired, "", "Say whose: ?subject=Patient/{the practice's id}, once.")
	}
	if len(q["patient"]) == 1 && !strings.Contains(given[0], "/") {
		given[0] = "Patient/" + given[0]
	}
	kind, id := typeAndID("/" + given[0])
	if kind != "Patient" || id == "" || idProblem(id) != "" {
		return "", refuse(http.StatusBadRequest, r4.IssueTypeValue, "", "The subject is a Patient: ?subject=Patient/{the practice's id}.")
	}
	return id, nil
}

func (c *call) page(found []gateway.Message, f gateway.MessageFilter, ref string) (answer, error) {
	out := r4.Bundle{Type: r4.BundleTypeSearchset}
	at := func(after int64) string {
		q := url.Values{"subject": {"Patient/" + ref}, "_count": {strconv.Itoa(f.Limit)}}
		if after != 0 {
			q.Set("page", strconv.FormatInt(after, 10))
		}
		return c.PublicURL + "/fhir/Communication?" + q.Encode()
	}
	out.Link = []r4.BundleLink{{Relation: "self", Url: at(f.After)}}
	if len(found) == f.Limit {
		out.Link = append(out.Link, r4.BundleLink{Relation: "next", Url: at(found[len(found)-1].ID)})
	}
	for i := range found {
		m := &found[i]
		if m.Status == gateway.Delivered { // when it arrived stands with what was heard of it
			full, err := c.Store.Message(c.Context(), m.ID)
			if err != nil {
				return answer{}, err
			}
			m = full
		}
		raw, err := communication(m, ref).MarshalJSON()
		if err != nil {
			return answer{}, err
		}
		out.Entry = append(out.Entry, r4.BundleEntry{
			FullUrl: ptr(c.PublicURL + "/fhir/" + locationOf(m.ID)), Resource: raw, Search: &r4.BundleEntrySearch{Mode: ptr(r4.SearchEntryModeMatch)},
		})
	}
	return answer{status: http.StatusOK, body: out}, nil
}

// read tells what became of one message.
func (c *call) read() (answer, error) {
	id, err := strconv.ParseInt(c.PathValue("id"), 10, 64)
	if err != nil {
		return answer{}, gateway.ErrNotFound
	}
	m, err := c.Store.Message(c.Context(), id)
	if err != nil {
		return answer{}, err
	}
	if m.Patient == 0 { // an answer to a number that nobody has: no patient's
		return answer{}, gateway.ErrNotFound
	}
	p, err := c.Store.Patient(c.Context(), m.Patient)
	if err != nil && !errors.Is(err, gateway.ErrNotFound) {
		return answer{}, err
	}
	ref, whose := "", ""
	if p != nil {
		ref, whose = p.Ref, fmt.Sprintf("patient:%d", m.Patient)
	}
	return answer{status: http.StatusOK, body: communication(m, ref)}, c.seen("message.read", fmt.Sprintf("message:%d", m.ID), whose)
}

// statuses tell a message's status in R4's words. What was taken by the provider is
// completed, for some never say more; it has no received before it is confirmed.
var statuses = map[gateway.Status]r4.EventStatus{
	gateway.Waiting: r4.EventStatusPreparation, gateway.Sending: r4.EventStatusInProgress, gateway.Unknown: r4.EventStatusUnknown,
	gateway.Sent: r4.EventStatusCompleted, gateway.Delivered: r4.EventStatusCompleted,
}

// communication tells a message without what it says.
func communication(m *gateway.Message, ref string) r4.Communication {
	c := r4.Communication{Id: ptr(strconv.FormatInt(m.ID, 10)), BasedOn: basedOn(m)}
	status, going := statuses[m.Status]
	if !going {
		status = r4.EventStatusNotDone
		c.StatusReason = reasonOf(m, m.Status.Name(m.Due, m.Due))
	}
	c.Status = status
	if m.Category != "" {
		c.Category = []r4.CodeableConcept{{Coding: []r4.Coding{{System: ptr(systemCategory), Code: &m.Category}}}}
	}
	if ref != "" {
		who := patientReference(ref)
		c.Subject, c.Recipient = &who, []r4.Reference{who}
	}
	if n := len(m.Tries); n > 0 {
		last := &m.Tries[n-1]
		c.Medium = []r4.CodeableConcept{{Coding: []r4.Coding{{System: ptr(systemMode), Code: ptr(modeOf[last.Pair.Channel])}}}}
		if last.Status == gateway.AttemptTaken || last.Status == gateway.AttemptDelivered {
			c.Sent = ptr(stamp(last.At))
		}
	}
	if m.Status == gateway.Delivered {
		if at := arrived(m); !at.IsZero() {
			c.Received = ptr(stamp(at))
		}
	}
	return c
}

// arrived is when the provider said so; or, where that is not kept, unknown.
func arrived(m *gateway.Message) time.Time {
	for i := len(m.Events) - 1; i >= 0; i-- {
		if m.Events[i].Kind == "delivered" {
			return m.Events[i].At
		}
	}
	return time.Time{}
}

// plainID is what R4 allows as an id in a reference.
var plainID = regexp.MustCompile(`^[A-Za-z0-9.-]{1,64}$`)

// patientReference refers to a patient by the practice's id. One that R4 does not
// allow in a reference is told as an identifier.
func patientReference(ref string) r4.Reference {
	if plainID.MatchString(ref) {
		return r4.Reference{Reference: ptr("Patient/" + ref), Type: ptr("Patient")}
	}
	return r4.Reference{Type: ptr("Patient"), Identifier: &r4.Identifier{Value: &ref}}
}

// basedOn refers to what asked for a message.
func basedOn(m *gateway.Message) []r4.Reference {
	id, isID := strings.CutPrefix(m.Reference, byID(""))
	token, isIdentifier := strings.CutPrefix(m.Reference, identified)
	switch {
	case m.Reference == "", strings.HasPrefix(m.Reference, request+"#"), strings.HasPrefix(m.Reference, appointment+"#"): // nothing, or an Idempotency-Key
		return nil
	case isID:
		return []r4.Reference{{Reference: ptr(byID(id)), Type: ptr(request)}}
	case isIdentifier:
		system, value, _ := strings.Cut(token, "|")
		i := &r4.Identifier{Value: &value}
		if system != "" {
			i.System = &system
		}
		return []r4.Reference{{Type: ptr(request), Identifier: i}}
	}
	ref := r4.Reference{Identifier: &r4.Identifier{Value: &m.Reference}}
	if m.Category == dispatch.Reminder {
		ref.Type = ptr(appointment)
	}
	return []r4.Reference{ref}
}
