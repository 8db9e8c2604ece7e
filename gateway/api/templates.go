package api

import (
	"cmp"
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/templates"
)

// TemplateOut is one template.
type TemplateOut struct {
	Name      string   `json:"name"`
	Category  string   `json:"category"`
	Version   int      `json:"version"`
	Content   string   `json:"content"`
	Variables []string `json:"variables"`
}

// PreviewIn asks for a text.
type PreviewIn struct {
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

func (a *API) templates(h huma.API) {
	type templateList struct {
		Body struct {
			Templates []TemplateOut `json:"templates"`
		}
	}
	register(a, h, op(http.MethodGet, "/v1/templates", "Texts and their variables", auth.ReadTemplate),
		func(context.Context, *struct{}) (*templateList, error) {
			out := &templateList{}
			for _, name := range a.Templates.Names() {
				t, _ := a.Templates.Get(name)
				row := TemplateOut{Name: t.Name, Category: t.Category, Version: t.Version, Content: t.Content, Variables: []string{}}
				for _, v := range t.Variables {
					row.Variables = append(row.Variables, v.Name)
				}
				out.Body.Templates = append(out.Body.Templates, row)
			}
			return out, nil
		})
	register(a, h, op(http.MethodPost, "/v1/templates/{name}/preview", "A text as it would go out", auth.ReadTemplate),
		func(_ context.Context, in *struct {
			Name string `path:"name" maxLength:"64"`
			Body PreviewIn
		}) (*struct{ Body PreviewOut }, error) {
			out, err := Preview(a.Templates, a.Identity, in.Name, in.Body)
			return &struct{ Body PreviewOut }{out}, err
		})
}

// Preview writes a text as it would go out. gateway.ErrNotFound, gateway.Invalid.
func Preview(set *templates.Set, identity templates.Identity, name string, in PreviewIn) (PreviewOut, error) {
	t, ok := set.Get(name)
	if !ok {
		return PreviewOut{}, gateway.ErrNotFound
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
	text, err := t.Render(templates.Request{
		Channel: ch, Form: form, Discreet: in.Discreet, Locale: in.Locale, Vars: in.Variables, Identity: identity,
		Links: templates.SampleLinks(),
	})
	if err != nil {
		return PreviewOut{}, gateway.Wrong("variables", err.Error())
	}
	out := PreviewOut{Subject: text.Subject, Text: text.Text, HTML: text.HTML}
	if ch == channels.SMS {
		out.Encoding, out.Segments = text.Segments.Encoding, text.Segments.Count
		if out.Encoding == "UCS-2" {
			out.Warning = "A character outside GSM-7 makes each segment 70 characters instead of 160."
		}
	}
	return out, nil
}
