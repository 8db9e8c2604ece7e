package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/templates"
)

// PreviewIn asks for a text.
type PreviewIn struct {
	Version   int               `json:"version,omitempty" minimum:"1" maximum:"1000000" doc:"One of the practice's own, approved or not. Without it: what goes out now."`
	Channel   string            `json:"channel,omitempty" enum:"sms,voice,email" doc:"Without it: sms."`
	Locale    string            `json:"locale,omitempty" maxLength:"35" doc:"en or es."`
	Content   string            `json:"content,omitempty" enum:"full,secure_link,call_back,voicemail" doc:"Without it: full. voicemail: what a machine hears of a call."`
	Discreet  bool              `json:"discreet,omitempty"`
	Variables map[string]string `json:"variables,omitempty"`
}

// PreviewOut is a rendered text.
type PreviewOut struct {
	Subject  string `json:"subject,omitempty"`
	Text     string `json:"text" doc:"By voice, a line for each breath."`
	HTML     string `json:"html,omitempty"`
	Encoding string `json:"encoding,omitempty"`
	Segments int    `json:"segments,omitempty" doc:"Each is billed by itself."`
	Warning  string `json:"warning,omitempty"`
}

func (a *API) preview(h huma.API) {
	register(a, h, op(http.MethodPost, "/v1/templates/{name}/preview", "A text as it would go out", auth.ReadTemplate),
		func(ctx context.Context, in *struct {
			TemplatePath
			Body PreviewIn
		}) (*struct{ Body PreviewOut }, error) {
			out, err := a.Preview(ctx, in.Name, in.Body)
			return &struct{ Body PreviewOut }{out}, err
		})
}

// Preview writes a text as it would go out: the one in force under the name, which is
// the practice's own where it has approved one, or a version of the practice's own.
// gateway.ErrNotFound, gateway.Invalid, or templates.Findings for a version that the
// rules of today refuse.
func (a *API) Preview(ctx context.Context, name string, in PreviewIn) (PreviewOut, error) {
	t, err := a.Wording.Text(ctx, name, in.Version)
	if err != nil {
		return PreviewOut{}, err
	}
	ch, err := channels.ParseChannel(cmp.Or(in.Channel, "sms"))
	if err != nil {
		return PreviewOut{}, gateway.Wrong("channel", "say sms, voice or email")
	}
	if in.Locale != "" && !templates.Speaks(in.Locale) {
		return PreviewOut{}, gateway.Wrong("locale", "the texts are in en and es; at sending, another language gets English")
	}
	form, ok := templates.ParseForm(in.Content)
	if !ok {
		return PreviewOut{}, gateway.Wrong("content", "say full, secure_link, call_back or voicemail")
	}
	if err := t.Check(in.Variables); err != nil {
		return PreviewOut{}, gateway.Wrong("variables", err.Error())
	}
	if !t.Has(ch, form, in.Discreet) {
		return PreviewOut{}, gateway.Wrong("channel", "the text has no words for this channel in this content: it does not go out so")
	}
	text, err := t.Render(templates.Request{
		Channel: ch, Form: form, Discreet: in.Discreet, Locale: in.Locale, Vars: in.Variables, Identity: a.Identity,
		Links: templates.SampleLinks(),
	})
	if err != nil {
		return PreviewOut{}, gateway.Wrong("variables", err.Error())
	}
	out := PreviewOut{Subject: text.Subject, Text: text.Text, HTML: text.HTML}
	if ch == channels.SMS {
		out.Encoding, out.Segments, out.Warning = text.Segments.Encoding, text.Segments.Count, costWarning(text.Segments)
	}
	return out, nil
}

// costWarning says what makes an SMS cost more than one.
func costWarning(s templates.Segments) string {
	var warnings []string
	if s.Encoding == templates.UCS2 {
		warnings = append(warnings, "A character outside GSM-7 makes each segment 70 characters instead of 160.")
	}
	if s.Count > 1 {
		warnings = append(warnings, fmt.Sprintf("It goes out as %d segments, and each is billed by itself.", s.Count))
	}
	return strings.Join(warnings, " ")
}
