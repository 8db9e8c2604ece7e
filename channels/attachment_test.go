package channels

import (
	"slices"
	"strings"
	"testing"
)

func TestCheckAttachments(t *testing.T) {
	file := Attachment{Name: "appointment.ics", Type: "text/calendar", Content: []byte("x")}
	with := func(change func(*Attachment)) Outgoing {
		a := file
		change(&a)
		return Outgoing{Channel: Email, Attachments: []Attachment{a}}
	}
	for _, c := range []struct {
		name string
		m    Outgoing
		ok   bool
	}{
		{"none", Outgoing{Channel: SMS}, true},
		{"a calendar", with(func(*Attachment) {}), true},
		{"a text with a file", Outgoing{Channel: SMS, Attachments: []Attachment{file}}, false},
		{"a path", with(func(a *Attachment) { a.Name = "../x.ics" }), false},
		{"a hidden file", with(func(a *Attachment) { a.Name = ".x" }), false},
		{"a second header", with(func(a *Attachment) { a.Name = "x\r\nBcc: y" }), false},
		{"a long name", with(func(a *Attachment) { a.Name = strings.Repeat("x", 65) }), false},
		{"no type", with(func(a *Attachment) { a.Type = "calendar" }), false},
		{"a parameter", with(func(a *Attachment) { a.Type = "text/calendar;method=PUBLISH" }), false},
		{"nothing in it", with(func(a *Attachment) { a.Content = nil }), false},
		{"too large", with(func(a *Attachment) { a.Content = make([]byte, maxAttachmentBytes+1) }), false},
		{"too many", Outgoing{Channel: Email, Attachments: slices.Repeat([]Attachment{file}, maxAttachments+1)}, false},
	} {
		if err := CheckAttachments(c.m); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
