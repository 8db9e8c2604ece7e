// Package observe is how the gateway is watched: its log, its metrics. Neither
// holds personal data: routes are patterns, never paths, and what looks like a
// number or a mailbox in an error is masked.
package observe

import (
	"io"
	"log/slog"
	"regexp"
)

// NewLog writes JSON lines. Masking is the second lock: the first is that no error
// of ours holds personal data. Errors of drivers and of the network may.
func NewLog(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: mask}))
}

var (
	mailbox = regexp.MustCompile(`[A-Za-z0-9._%+\-]+@[A-Za-z0-9.\-]+`)
	// A number as E.164, or ten or eleven digits that stand alone: our own ids are longer.
	number = regexp.MustCompile(`\+[0-9]{7,15}|\b1?[2-9][0-9]{9}\b|\(?\b[2-9][0-9]{2}\)?[-. ][0-9]{3}[-. ][0-9]{4}\b`)
)

// Mask hides mailboxes and phone numbers in a text.
func Mask(text string) string {
	return number.ReplaceAllString(mailbox.ReplaceAllString(text, "[mailbox]"), "[number]")
}

func mask(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(Mask(a.Value.String()))
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			a.Value = slog.StringValue(Mask(err.Error()))
		}
	}
	return a
}
