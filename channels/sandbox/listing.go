package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"harmonize.care/heed/channels"
)

// resource is a message as Twilio shows it. Numbers of segments and media are
// strings there; dates are RFC 2822 in UTC.
type resource struct {
	Body                string            `json:"body"`
	NumSegments         string            `json:"num_segments"`
	Direction           string            `json:"direction"`
	From                *string           `json:"from"`
	To                  string            `json:"to"`
	DateUpdated         string            `json:"date_updated"`
	Price               *string           `json:"price"`
	ErrorMessage        *string           `json:"error_message"`
	URI                 string            `json:"uri"`
	AccountSID          string            `json:"account_sid"`
	NumMedia            string            `json:"num_media"`
	Status              string            `json:"status"`
	MessagingServiceSID *string           `json:"messaging_service_sid"`
	SID                 string            `json:"sid"`
	DateSent            *string           `json:"date_sent"`
	DateCreated         string            `json:"date_created"`
	ErrorCode           *int              `json:"error_code"`
	PriceUnit           string            `json:"price_unit"`
	APIVersion          string            `json:"api_version"`
	SubresourceURIs     map[string]string `json:"subresource_uris"`
}

func (s *Sandbox) resource(m Message) resource {
	uri := s.accountPath() + "/Messages/" + m.ID
	r := resource{
		Body:            m.Body,
		NumSegments:     strconv.Itoa(segments(m.Body)),
		Direction:       "outbound-api",
		From:            filled(m.From),
		To:              m.To,
		DateUpdated:     m.Updated.UTC().Format(twilioTime),
		URI:             uri + ".json",
		AccountSID:      s.opt.AccountSID,
		NumMedia:        "0",
		Status:          m.Status,
		SID:             m.ID,
		DateCreated:     m.Created.UTC().Format(twilioTime),
		PriceUnit:       "USD",
		APIVersion:      apiVersion,
		SubresourceURIs: map[string]string{"media": uri + "/Media.json"},
	}
	r.MessagingServiceSID = filled(m.Service)
	if m.Inbound {
		r.Direction = "inbound"
	}
	if m.Status == "accepted" {
		r.NumSegments = "0" // no sender yet, so no segments either
	}
	if m.ErrorCode != 0 {
		r.ErrorCode = &m.ErrorCode
	}
	if !m.Sent.IsZero() {
		r.DateSent = filled(m.Sent.UTC().Format(twilioTime))
	}
	return r
}

func (s *Sandbox) accountPath() string { return "/" + apiVersion + "/Accounts/" + s.opt.AccountSID }

func filled(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// fetchMessage is GET …/Messages/{sid}.json.
func (s *Sandbox) fetchMessage(w http.ResponseWriter, r *http.Request) {
	id, isJSON := strings.CutSuffix(r.PathValue("message"), ".json")
	m, ok := s.get(id)
	if !isJSON || !ok || m.Channel != channels.SMS {
		refusal(http.StatusNotFound, 20404, "The requested resource was not found").write(w)
		return
	}
	writeJSON(w, http.StatusOK, s.resource(m))
}

// pageHead is what stands around one page of a list, as Twilio shapes it.
type pageHead struct {
	End             int     `json:"end"`
	FirstPageURI    string  `json:"first_page_uri"`
	NextPageURI     *string `json:"next_page_uri"`
	Page            int     `json:"page"`
	PageSize        int     `json:"page_size"`
	PreviousPageURI *string `json:"previous_page_uri"`
	Start           int     `json:"start"`
	URI             string  `json:"uri"`
}

type textPage struct {
	pageHead
	Messages []resource `json:"messages"`
}

type callPage struct {
	pageHead
	Calls []map[string]any `json:"calls"`
}

// listMessages is GET …/Messages.json: newest first, inbound and outbound alike,
// filtered by To, From, DateSent (a day), DateSent> and DateSent< (both include
// their bound).
func (s *Sandbox) listMessages(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	matches, err := textFilter(query)
	size, number, ok := paging(query)
	if err != nil || !ok {
		refusal(http.StatusBadRequest, 20001, "A filter or page cannot be read").write(w)
		return
	}
	head, part := s.pageOf(s.find(channels.SMS, matches), query, "/Messages", []string{"To", "From", "DateSent", "DateSent>", "DateSent<"}, size, number)
	list := textPage{pageHead: head, Messages: []resource{}}
	for _, m := range part {
		list.Messages = append(list.Messages, s.resource(m))
	}
	writeJSON(w, http.StatusOK, list)
}

// pageOf cuts one page out of what was found, newest first.
func (s *Sandbox) pageOf(found []Message, query url.Values, path string, filters []string, size, number int) (pageHead, []Message) {
	uri := func(number int, token string) string { return s.pageURI(query, path, filters, size, number, token) }
	// The first page's newest message anchors the pages after it, so that texts
	// that come in meanwhile shift nothing.
	anchor, anchored := strings.CutPrefix(query.Get("PageToken"), "PA")
	if anchored {
		found = from(found, anchor)
	} else if len(found) > 0 {
		anchor = found[0].ID
	}
	start := min(number*size, len(found))
	end := min(start+size, len(found))
	p := pageHead{Page: number, PageSize: size, Start: start, End: max(start, end-1)}
	p.URI = uri(number, query.Get("PageToken"))
	p.FirstPageURI = uri(0, "")
	if end < len(found) {
		p.NextPageURI = filled(uri(number+1, "PA"+anchor))
	}
	if number > 0 {
		p.PreviousPageURI = filled(uri(number-1, "PA"+anchor))
	}
	return p, found[start:end]
}

func (s *Sandbox) pageURI(query url.Values, path string, filters []string, size, number int, token string) string {
	next := url.Values{}
	for _, name := range filters {
		if v := query.Get(name); v != "" {
			next.Set(name, v)
		}
	}
	next.Set("PageSize", strconv.Itoa(size))
	next.Set("Page", strconv.Itoa(number))
	if token != "" {
		next.Set("PageToken", token)
	}
	return s.accountPath() + path + ".json?" + next.Encode()
}

// find lists copies of the matching texts or calls, newest first.
func (s *Sandbox) find(on channels.Channel, matches func(*Message) bool) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Message
	for i := len(s.list) - 1; i >= 0; i-- {
		if m := s.list[i]; m.Channel == on && matches(m) {
			found = append(found, m.copy())
		}
	}
	return found
}

// from gives the part of a list that begins with the message id.
func from(list []Message, id string) []Message {
	for i, m := range list {
		if m.ID == id {
			return list[i:]
		}
	}
	return nil
}

func paging(query url.Values) (size, number int, ok bool) {
	size = defaultPage
	for name, into := range map[string]*int{"PageSize": &size, "Page": &number} {
		if v := query.Get(name); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 {
				return 0, 0, false
			}
			*into = n
		}
	}
	// A page number beyond what is kept is an empty page, not an overflow.
	return min(max(size, 1), maxPage), min(number, keep), true
}

// textFilter reads the filters of a list.
func textFilter(query url.Values) (func(*Message) bool, error) {
	var tests []func(*Message) bool
	if to := query.Get("To"); to != "" {
		tests = append(tests, func(m *Message) bool { return m.To == to })
	}
	if from := query.Get("From"); from != "" {
		tests = append(tests, func(m *Message) bool { return m.From == from })
	}
	for name, within := range map[string]func(sent, bound time.Time) bool{
		"DateSent>": func(sent, bound time.Time) bool { return !sent.Before(bound) },
		"DateSent<": func(sent, bound time.Time) bool { return !sent.After(bound) },
		"DateSent": func(sent, day time.Time) bool {
			return sent.Truncate(24 * time.Hour).Equal(day.Truncate(24 * time.Hour))
		},
	} {
		if v := query.Get(name); v != "" {
			bound, err := parseDate(v)
			if err != nil {
				return nil, err
			}
			tests = append(tests, func(m *Message) bool { return within(leftAt(m), bound) })
		}
	}
	return func(m *Message) bool {
		for _, test := range tests {
			if !test(m) {
				return false
			}
		}
		return true
	}, nil
}

// leftAt is the time the date filters look at, in whole seconds as the list
// shows it: when it was sent, or when it was taken while it still waits.
func leftAt(m *Message) time.Time {
	if m.Sent.IsZero() {
		return m.Created.UTC().Truncate(time.Second)
	}
	return m.Sent.UTC().Truncate(time.Second)
}

// parseDate reads a day or a moment, the two forms Twilio takes.
func parseDate(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("not a date")
}
