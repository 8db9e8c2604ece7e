package fhir

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"

	"harmonize.care/heed/gateway/dispatch"
)

// entry is one resource on its way: read, and then judged together with the others.
type entry struct {
	order *order
	visit *visit
	done  *result // settled before anything is judged: refused, or passed over
}

// tries is how often everything is judged again when something moves meanwhile.
const tries = 8

// one takes a single resource in.
func (c *call) one(kind string) (answer, error) {
	key := keyed(kind, c.caller.ID, c.Header.Get("Idempotency-Key"), "")
	e := c.enter(c.body, kind, kind, world{}, key)
	if id := c.PathValue("id"); c.Method == http.MethodPut && (e.done == nil || e.done.status != http.StatusBadRequest) && !hasID(c.body, id) {
		return answer{}, refuse(http.StatusBadRequest, r4.IssueTypeInvalid, kind+".id", "An update names the same id in its path and in its resource.")
	}
	results, err := c.settle([]*entry{e}, false)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: results[0].status, body: outcome(results[0].issues)}
	if len(results[0].messages) > 0 {
		a.location = c.PublicURL + "/fhir/" + locationOf(results[0].messages[0])
	}
	return a, nil
}

// enter reads one resource. What is wrong with it is told by FHIRPaths that begin with path.
func (c *call) enter(raw []byte, kind, path string, w world, key string) *entry {
	e := &entry{}
	r := &reading{Server: c.Server, world: w.with(raw), path: path}
	switch kind {
	case request:
		var in *r4.CommunicationRequest
		if in, r.issues = decode[r4.CommunicationRequest](raw, kind, path); in != nil {
			e.order = r.order(in, raw, key)
		}
	case appointment:
		var in *r4.Appointment
		if in, r.issues = decode[r4.Appointment](raw, kind, path); in != nil {
			e.visit = r.visit(in, raw, key)
		}
	}
	if hasErrors(r.issues) {
		res := refusedResult(refused(r.issues))
		e.order, e.visit, e.done = nil, nil, &res
	}
	return e
}

// settle judges everything that was read and keeps it in one commit. Whole: one that is
// refused refuses them all, and nothing is kept.
func (c *call) settle(list []*entry, whole bool) ([]result, error) {
	var err error
	for range tries {
		b := c.Dispatcher.NewBatch(c.caller.Name)
		results := make([]result, len(list))
		bad := false
		for i, e := range list {
			if results[i], err = c.judge(c.Context(), b, e); err != nil {
				return nil, err
			}
			bad = bad || results[i].refused()
		}
		if whole && bad {
			return results, nil
		}
		if err = b.Commit(c.Context()); !dispatch.MovedOn(err) {
			return results, err
		}
	}
	return nil, err
}

func (s *Server) judge(ctx context.Context, b *dispatch.Batch, e *entry) (result, error) {
	switch {
	case e.done != nil:
		return *e.done, nil
	case e.order != nil:
		return s.carryOut(ctx, b, e.order)
	}
	return s.keep(ctx, b, e.visit)
}

// bundle takes a Bundle in.
func (c *call) bundle() (answer, error) {
	in, issues := decode[r4.Bundle](c.body, "Bundle", "Bundle")
	if in != nil {
		issues = checkBundle(in, c.body)
	}
	if len(issues) > 0 {
		return answer{}, refused(issues)
	}
	whole := in.Type == r4.BundleTypeTransaction
	list := c.entries(in, whole)
	results, err := c.settle(list, whole)
	if err != nil {
		return answer{}, err
	}
	if whole {
		if r := together(results); r != nil {
			return answer{}, r
		}
	}
	return answer{status: http.StatusOK, body: response(in, results)}, nil
}

func checkBundle(in *r4.Bundle, raw []byte) []issue {
	switch {
	case !given(raw, "type"):
		return []issue{wrong(r4.IssueTypeRequired, "Bundle.type", "Say what the Bundle is: batch, transaction, collection or message.")}
	case !slices.Contains([]r4.BundleType{r4.BundleTypeBatch, r4.BundleTypeTransaction, r4.BundleTypeCollection, r4.BundleTypeMessage}, in.Type):
		return []issue{wrong(r4.IssueTypeNotSupported, "Bundle.type", "Send a batch, transaction, collection or message.")}
	case len(in.Entry) > maxEntries:
		return []issue{wrong(r4.IssueTypeTooCostly, "Bundle.entry", fmt.Sprintf("A Bundle has at most %d entries here.", maxEntries))}
	}
	return nil
}

// entries reads all of them. In a transaction each is told by its place in the Bundle.
func (c *call) entries(in *r4.Bundle, whole bool) []*entry {
	w := world{sent: map[string]stranger{}}
	kinds := make([]stranger, len(in.Entry))
	for i := range in.Entry {
		e := &in.Entry[i]
		_ = json.Unmarshal(e.Resource, &kinds[i]) // what cannot be read is told below
		w.add(text(e.FullUrl), e.Resource)
		if kinds[i].ID != "" {
			w.add(kinds[i].ResourceType+"/"+kinds[i].ID, e.Resource)
		}
	}
	key := c.Header.Get("Idempotency-Key")
	list := make([]*entry, len(in.Entry))
	for i := range in.Entry {
		kind := kinds[i].ResourceType
		path := kind
		if whole {
			path = fmt.Sprintf("Bundle.entry[%d].resource", i)
		}
		list[i] = c.entry(&in.Entry[i], kind, path, w, keyed(kind, c.caller.ID, key, strconv.Itoa(i)))
	}
	lastWord(list, whole)
	return list
}

// entry reads one entry. One of another type is passed over, and said to be.
func (c *call) entry(e *r4.BundleEntry, kind, path string, w world, key string) *entry {
	settled := func(status int, i issue) *entry { return &entry{done: &result{status: status, issues: []issue{i}}} }
	if q := e.Request; q != nil && (kind == request || kind == appointment || len(e.Resource) == 0) {
		target, id := typeAndID("/" + q.Url)
		put := q.Method == r4.HTTPVerbPUT && target == kind && hasID(e.Resource, id)
		post := q.Method == r4.HTTPVerbPOST && q.Url == kind
		if !put && !post {
			return settled(http.StatusUnprocessableEntity, wrong(r4.IssueTypeNotSupported, path, "The entry's request is neither a POST to its type nor a PUT to its type and id."))
		}
	}
	switch kind {
	case request, appointment:
		return c.enter(e.Resource, kind, path, w, key)
	case "":
		return settled(http.StatusUnprocessableEntity, wrong(r4.IssueTypeStructure, path, "The entry holds no resource that says its type."))
	}
	return settled(http.StatusOK, issue{severity: r4.IssueSeverityInformation, code: r4.IssueTypeNotSupported,
		words: "The gateway keeps none of this type: it was read only where another entry refers to it."})
}

// lastWord passes over what another entry of the same Bundle replaces, and what a later
// one says anew. In a transaction R4 allows no two entries of one identity.
func lastWord(list []*entry, whole bool) {
	replacedBy := map[string]*entry{}
	for _, e := range list {
		if e.order == nil || !e.order.counts() {
			continue // by itself it takes nothing's place either
		}
		for _, name := range e.order.replaces {
			replacedBy[name] = e
		}
	}
	said := map[string]bool{}
	for _, e := range slices.Backward(list) {
		mine, path := e.names()
		again := slices.ContainsFunc(mine, func(n string) bool { return said[n] })
		replaced := slices.ContainsFunc(mine, func(n string) bool { return replacedBy[n] != nil && replacedBy[n] != e })
		for _, n := range mine {
			said[n] = true
		}
		switch {
		case again && whole:
			res := refusedResult(refuse(http.StatusUnprocessableEntity, r4.IssueTypeDuplicate, path, "Another entry of this transaction is about the same."))
			*e = entry{done: &res}
		case again || replaced:
			*e = entry{done: &result{status: http.StatusOK, issues: []issue{note(path, "Another entry of this Bundle replaces it, or says the same anew: that one counts.")}}}
		}
	}
}

// names is what an entry is about.
func (e *entry) names() (names []string, path string) {
	switch {
	case e.order != nil:
		return e.order.names, e.order.path
	case e.visit != nil:
		return []string{appointment + "/" + e.visit.said.Reference}, e.visit.path
	}
	return nil, ""
}

// together is the refusal of a whole transaction, or nil.
func together(results []result) *refusal {
	var all *refusal
	for _, r := range results {
		if !r.refused() {
			continue
		}
		if all == nil {
			all = &refusal{status: http.StatusUnprocessableEntity}
		}
		all.issues = append(all.issues, r.issues...)
	}
	return all
}

// response is the Bundle that answers a Bundle: one entry for each, in their order.
func response(in *r4.Bundle, results []result) r4.Bundle {
	out := r4.Bundle{Type: r4.BundleTypeBatchResponse}
	if in.Type == r4.BundleTypeTransaction {
		out.Type = r4.BundleTypeTransactionResponse
	}
	for _, r := range results {
		one := &r4.BundleEntryResponse{Status: strconv.Itoa(r.status) + " " + http.StatusText(r.status)}
		if len(r.messages) > 0 {
			one.Location = ptr(locationOf(r.messages[0]))
		}
		one.Outcome, _ = json.Marshal(outcome(r.issues)) // our own plain data always marshals
		out.Entry = append(out.Entry, r4.BundleEntry{Response: one})
	}
	return out
}

// hasID says whether a resource has this id.
func hasID(raw []byte, id string) bool {
	var s stranger
	return json.Unmarshal(raw, &s) == nil && id != "" && s.ID == id
}
