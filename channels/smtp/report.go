package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	// go-message: parts, encodings and charsets of mail, with limits.
	"github.com/emersion/go-message"
	"github.com/emersion/go-message/textproto"
)

// report is a delivery status notification: RFC 3464, in the frame of RFC 6522.
type report struct {
	ids    []string // Message-IDs it may be about: that of the returned mail first
	people []person
}

// person is what it says of one recipient. RFC 3464 section 2.3.
type person struct {
	action, status, diagnostic string
	addresses                  []string // as the sender wrote it first, then as the last server had it
}

// Limits of a notification; what lies beyond is not read.
const (
	maxReport  = 1 << 20
	maxParts   = 8
	maxFields  = 64 << 10 // bytes of one part's fields
	maxPeople  = 8
	maxAddress = 320
)

// readReport takes a mail apart. False: it is no notification.
func readReport(raw []byte) (report, bool) {
	var r report
	if len(raw) > maxReport {
		return r, false
	}
	letter, err := message.ReadWithOptions(bytes.NewReader(raw), &message.ReadOptions{MaxHeaderBytes: maxFields})
	if letter == nil || err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
		return r, false
	}
	kind, params, err := letter.Header.ContentType()
	if err != nil || kind != "multipart/report" || !strings.EqualFold(params["report-type"], "delivery-status") {
		return r, false
	}
	parts := letter.MultipartReader()
	if parts == nil {
		return r, false
	}
	for range maxParts {
		part, err := parts.NextPart()
		if part == nil || err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
			break // what came before it counts
		}
		r.part(part)
	}
	// Some servers return nothing of the mail and answer it instead.
	for _, name := range []string{"In-Reply-To", "References"} {
		r.ids = append(r.ids, strings.Fields(letter.Header.Get(name))...)
	}
	return r, len(r.people) > 0
}

func (r *report) part(p *message.Entity) {
	kind, _, err := p.Header.ContentType()
	if err != nil {
		return
	}
	body := io.LimitReader(p.Body, maxFields)
	switch kind {
	case "message/delivery-status", "message/global-delivery-status": // RFC 6533 section 3
		text, err := io.ReadAll(body)
		if err == nil {
			r.status(text)
		}
	case "message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers":
		header, err := textproto.ReadHeader(bufio.NewReader(body))
		if id := header.Get("Message-Id"); id != "" && (err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
			r.ids = append([]string{id}, r.ids...)
		}
	}
}

// status reads the groups of fields, one for the mail and one for each recipient.
func (r *report) status(text []byte) {
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	for group := range bytes.SplitSeq(text, []byte("\n\n")) {
		group = bytes.Trim(group, "\n")
		if len(r.people) == maxPeople || len(group) == 0 {
			continue
		}
		fields, err := textproto.ReadHeader(bufio.NewReader(io.MultiReader(bytes.NewReader(group), strings.NewReader("\r\n\r\n"))))
		if err != nil || fields.Get("Action") == "" {
			continue
		}
		p := person{action: strings.TrimSpace(fields.Get("Action")), status: fields.Get("Status"), diagnostic: fields.Get("Diagnostic-Code")}
		for _, name := range []string{"Original-Recipient", "Final-Recipient"} {
			if to := address(fields.Get(name)); to != "" && (len(p.addresses) == 0 || p.addresses[0] != to) {
				p.addresses = append(p.addresses, to)
			}
		}
		r.people = append(r.people, p)
	}
}

// address reads "rfc822; name@example.org". RFC 3464 section 2.3.1.
func address(field string) string {
	kind, value, ok := strings.Cut(field, ";")
	value = strings.Trim(strings.TrimSpace(value), "<>")
	if !ok || len(value) > maxAddress {
		return ""
	}
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "rfc822":
		return fromXtext(value)
	case "utf-8":
		return value
	}
	return ""
}

var enhancedStatus = regexp.MustCompile(`\b[245]\.\d{1,3}\.\d{1,3}\b`)

// code is the status of RFC 3463, or "". Where it says nothing, what the last server
// said may say more.
func (p person) code() string {
	status := enhancedStatus.FindString(p.status)
	if status == "" || strings.HasSuffix(status, ".0.0") {
		if said := enhancedStatus.FindString(p.diagnostic); said != "" {
			return said
		}
	}
	return status
}

// toXtext and fromXtext write and read an address as RFC 3461 section 4 has it.
func toXtext(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' || c == '+' || c == '=' {
			b.WriteString("+" + strings.ToUpper(strconv.FormatUint(uint64(c)+0x100, 16)[1:]))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// fromXtext leaves a plus sign that is none of the encoding: most servers write the
// address as it is.
func fromXtext(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '+' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]) {
			c, _ := strconv.ParseUint(text[i+1:i+3], 16, 8) // two hexadecimal digits always are one
			if c == '+' || c == '=' {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// isHex: xtext writes capital letters alone.
func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' }
