package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/gateway/wording"
	"harmonize.care/heed/preferences/policy"
	"harmonize.care/heed/templates"
)

// TemplateOut is one template as it stands.
type TemplateOut struct {
	Name      string               `json:"name"`
	Category  string               `json:"category" doc:"Empty for the answers to what somebody just said."`
	Origin    string               `json:"origin" enum:"built_in,practice"`
	Status    string               `json:"status" enum:"draft,in_force,superseded,retired,unusable" doc:"unusable: the rules of today refuse it, and nothing goes out under its name."`
	Version   int                  `json:"version"`
	Content   string               `json:"content"`
	Variables []string             `json:"variables"`
	Languages []string             `json:"languages"`
	Channels  []string             `json:"channels"`
	Waiting   int                  `json:"waiting" doc:"How many versions wait for a second person."`
	Texts     []WordingOut         `json:"texts,omitempty"`
	Versions  []TemplateVersionOut `json:"versions,omitempty" doc:"The practice's own, oldest first."`
}

// TemplateVersionOut is one version of a practice's own template.
type TemplateVersionOut struct {
	Name       string        `json:"name"`
	Version    int           `json:"version"`
	Status     string        `json:"status" enum:"draft,in_force,superseded,retired,unusable"`
	Category   string        `json:"category"`
	Content    string        `json:"content,omitempty"`
	Variables  []VariableOut `json:"variables"`
	Source     string        `json:"source"`
	Digest     string        `json:"digest" doc:"Of all of it; the audit log holds it too."`
	CreatedBy  string        `json:"created_by"`
	CreatedAt  time.Time     `json:"created_at"`
	ApprovedBy string        `json:"approved_by,omitempty"`
	ApprovedAt *time.Time    `json:"approved_at,omitempty"`
	RetiredBy  string        `json:"retired_by,omitempty"`
	RetiredAt  *time.Time    `json:"retired_at,omitempty"`
	Problem    string        `json:"problem,omitempty" doc:"Why the rules of today refuse it."`
	Texts      []WordingOut  `json:"texts,omitempty"`
}

// VariableOut is one value that a template takes.
type VariableOut struct {
	Name     string `json:"name" maxLength:"40"`
	Required bool   `json:"required,omitempty"`
	Kind     string `json:"kind" enum:"text,time,date,url"`
	Max      int    `json:"max" minimum:"1" maximum:"5000" doc:"The most characters."`
	Lines    bool   `json:"lines,omitempty" doc:"May have line breaks."`
}

// WordingOut is one text as it is written down.
type WordingOut struct {
	Language string `json:"language"`
	Channel  string `json:"channel"`
	Content  string `json:"content"`
	Discreet bool   `json:"discreet"`
	Subject  string `json:"subject,omitempty"`
	Body     string `json:"body"`
	Link     string `json:"link,omitempty" doc:"The words on the link."`
}

// TemplateIn is a new version of a practice's own template.
type TemplateIn struct {
	Name      string        `json:"name" minLength:"1" maxLength:"40"`
	Category  string        `json:"category" minLength:"1" maxLength:"64"`
	Content   string        `json:"content,omitempty" enum:"none,minimal,clinical" doc:"The most it carries. Without it, what the category may carry."`
	Variables []VariableOut `json:"variables,omitempty" maxItems:"20" nullable:"false"`
	Source    string        `json:"source" minLength:"1" maxLength:"65536" doc:"The texts, each under a line such as: == en sms normal"`
}

// PreviewOut is a rendered text.
type PreviewOut struct {
	Subject  string `json:"subject,omitempty"`
	Text     string `json:"text"`
	HTML     string `json:"html,omitempty"`
	Encoding string `json:"encoding,omitempty"`
	Segments int    `json:"segments,omitempty" doc:"Each is billed by itself."`
	Warning  string `json:"warning,omitempty"`
}

// TemplatePath is a path with a template's name; exported, or huma passes it over.
type TemplatePath struct {
	Name string `path:"name" maxLength:"64"`
}

// TemplateVersionPath is one version of it.
type TemplateVersionPath struct {
	TemplatePath
	Version int `path:"n" minimum:"1" maximum:"1000000"`
}

type templateVersionOut struct{ Body TemplateVersionOut }

func (a *API) templates(h huma.API) {
	type templateList struct {
		Body struct {
			Templates []TemplateOut `json:"templates"`
		}
	}
	register(a, h, op(http.MethodGet, "/v1/templates", "Texts, built in and the practice's own", auth.ReadTemplate),
		func(ctx context.Context, _ *struct{}) (*templateList, error) {
			out := &templateList{}
			var err error
			out.Body.Templates, err = a.templateList(ctx, "")
			return out, err
		})
	register(a, h, op(http.MethodGet, "/v1/templates/{name}", "One template with every version and wording", auth.ReadTemplate),
		func(ctx context.Context, in *TemplatePath) (*struct{ Body TemplateOut }, error) {
			list, err := a.templateList(ctx, in.Name)
			if err == nil && len(list) == 0 {
				err = gateway.ErrNotFound
			}
			if err != nil {
				return nil, err
			}
			return &struct{ Body TemplateOut }{list[0]}, nil
		})
	a.templateWrites(h)
	a.preview(h)
}

func (a *API) templateWrites(h huma.API) {
	register(a, h, creates(op(http.MethodPost, "/v1/templates", "Write a new version; it waits for a second person", auth.WriteTemplate)),
		func(ctx context.Context, in *struct{ Body TemplateIn }) (*templateVersionOut, error) {
			if err := a.mayWrite(ctx, in.Body.Category); err != nil {
				return nil, err
			}
			d := templates.Draft{Name: in.Body.Name, Category: in.Body.Category, Content: in.Body.Content, Source: in.Body.Source, Variables: []templates.Variable{}}
			for _, v := range in.Body.Variables {
				d.Variables = append(d.Variables, templates.Variable(v))
			}
			v, err := a.Wording.Add(ctx, caller(ctx).Name, d)
			if err != nil {
				return nil, err
			}
			return a.templateVersion(ctx, v.Draft.Name, v.Version)
		})
	for _, do := range []struct {
		verb, summary string
		do            func(ctx context.Context, actor, name string, version int) error
	}{
		{"approve", "Put a version in force; the author cannot", a.Wording.Approve},
		{"retire", "Take a version out for good", a.Wording.Retire},
	} {
		register(a, h, op(http.MethodPost, "/v1/templates/{name}/versions/{n}/"+do.verb, do.summary, auth.ApproveTemplate),
			func(ctx context.Context, in *TemplateVersionPath) (*templateVersionOut, error) {
				if err := do.do(ctx, caller(ctx).Name, in.Name, in.Version); err != nil {
					return nil, err
				}
				return a.templateVersion(ctx, in.Name, in.Version)
			})
	}
}

// mayWrite: a marketer has no say in what an essential message says.
func (a *API) mayWrite(ctx context.Context, category string) error {
	cat, ok := a.Policy.Category(category)
	if ok && cat.Class == policy.Essential && caller(ctx).Role == auth.Marketer {
		return problem(http.StatusForbidden, "forbidden", "The role of this key writes texts only for categories that are not essential.")
	}
	return nil
}

// refusedText tells what the rules found in a text: where it stands and which rule.
func refusedText(found templates.Findings) *Problem {
	p := problem(http.StatusUnprocessableEntity, "template_refused", "The text breaks the rules named below; nothing was changed.")
	for _, f := range found {
		location, where := "body.source", f.Where+": "
		if field, _, _ := strings.Cut(f.Where, "["); slices.Contains([]string{"name", "category", "content", "variables", "source"}, field) {
			location, where = "body."+f.Where, ""
		}
		p.Errors = append(p.Errors, Field{Location: location, Message: where + string(f.Rule) + ": " + f.Problem})
	}
	return p
}

// templateList tells every template, or with a name that one with its words.
func (a *API) templateList(ctx context.Context, name string) ([]TemplateOut, error) {
	own, err := a.Wording.Versions(ctx, name)
	if err != nil {
		return nil, err
	}
	set, rows := a.Wording.Current(), map[string]*TemplateOut{}
	for _, n := range set.Names() {
		if name != "" && n != name {
			continue
		}
		t, _ := set.Get(n)
		row := templateOut(t, wording.InForce)
		if name != "" {
			row.Texts = wordingsOut(t)
		}
		rows[n] = &row
	}
	for i := range own {
		v := &own[i]
		row := rows[v.Draft.Name]
		if row == nil || row.Status != string(wording.InForce) {
			row = a.idle(row, v)
			rows[v.Draft.Name] = row
		}
		if v.State == wording.Draft {
			row.Waiting++
		}
		if name != "" {
			row.Versions = append(row.Versions, versionOut(v))
		}
	}
	list := []TemplateOut{}
	for _, row := range rows {
		list = append(list, *row)
	}
	slices.SortFunc(list, func(a, b TemplateOut) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// idle tells a name under which nothing goes out, by its newest version.
func (a *API) idle(before *TemplateOut, v *wording.Version) *TemplateOut {
	t := v.Text
	if t == nil {
		t = &templates.Template{Name: v.Draft.Name, Category: v.Draft.Category, Content: v.Draft.Content, Variables: v.Draft.Variables, Version: v.Version, Practice: true}
	}
	row := templateOut(t, v.State)
	if before != nil {
		row.Waiting, row.Versions = before.Waiting, before.Versions
	}
	return &row
}

func templateOut(t *templates.Template, state wording.State) TemplateOut {
	row := TemplateOut{
		Name: t.Name, Category: t.Category, Origin: origin(t), Status: string(state), Version: t.Version, Content: t.Content,
		Variables: []string{}, Languages: templates.Languages(), Channels: namesOf(t.Channels()),
	}
	for _, v := range t.Variables {
		row.Variables = append(row.Variables, v.Name)
	}
	return row
}

func origin(t *templates.Template) string {
	if t.Practice {
		return "practice"
	}
	return "built_in"
}

func wordingsOut(t *templates.Template) []WordingOut {
	list := []WordingOut{}
	for _, w := range t.Wordings() {
		list = append(list, WordingOut{w.Language, w.Channel.String(), w.Form.String(), w.Discreet, w.Subject, w.Body, w.Link})
	}
	return list
}

func versionOut(v *wording.Version) TemplateVersionOut {
	out := TemplateVersionOut{
		Name: v.Draft.Name, Version: v.Version, Status: string(v.State), Category: v.Draft.Category, Content: v.Draft.Content, Variables: []VariableOut{},
		Source: v.Draft.Source, Digest: v.Digest, CreatedBy: v.CreatedBy, CreatedAt: v.Created.UTC(),
		ApprovedBy: v.ApprovedBy, ApprovedAt: instant(v.Approved), RetiredBy: v.RetiredBy, RetiredAt: instant(v.Retired),
	}
	for _, one := range v.Draft.Variables {
		out.Variables = append(out.Variables, VariableOut(one))
	}
	if v.Fault != nil {
		out.Problem = v.Fault.Error()
	}
	if v.Text != nil {
		out.Texts = wordingsOut(v.Text)
	}
	return out
}

func (a *API) templateVersion(ctx context.Context, name string, version int) (*templateVersionOut, error) {
	list, err := a.Wording.Versions(ctx, name)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Version == version {
			return &templateVersionOut{versionOut(&list[i])}, nil
		}
	}
	return nil, gateway.ErrNotFound
}

func (a *API) preview(h huma.API) {
	register(a, h, op(http.MethodPost, "/v1/templates/{name}/preview", "A text as it would go out", auth.ReadTemplate),
		func(ctx context.Context, in *struct {
			TemplatePath
			Body struct {
				Version   int               `json:"version,omitempty" minimum:"1" maximum:"1000000" doc:"One of the practice's own, approved or not. Without it, what goes out now."`
				Channel   string            `json:"channel" enum:"sms,voice,email"`
				Locale    string            `json:"locale,omitempty" maxLength:"35"`
				Content   string            `json:"content,omitempty" enum:"full,secure_link,call_back"`
				Discreet  bool              `json:"discreet,omitempty"`
				Variables map[string]string `json:"variables,omitempty"`
			}
		}) (*struct{ Body PreviewOut }, error) {
			b := in.Body
			t, err := a.Wording.Text(ctx, in.Name, b.Version)
			if err != nil {
				return nil, err
			}
			if err := t.Check(b.Variables); err != nil {
				return nil, gateway.Wrong("variables", err.Error())
			}
			ch, _ := channels.ParseChannel(b.Channel)
			text, err := t.Render(templates.Request{
				Channel: ch, Form: templates.Form(max(0, slices.Index([]string{"full", "secure_link", "call_back"}, b.Content))),
				Discreet: b.Discreet, Locale: b.Locale, Vars: b.Variables, Identity: a.Identity, Links: templates.SampleLinks(),
			})
			if err != nil {
				return nil, gateway.Wrong("variables", err.Error())
			}
			out := PreviewOut{Subject: text.Subject, Text: text.Text, HTML: text.HTML}
			if ch == channels.SMS {
				out.Encoding, out.Segments, out.Warning = text.Segments.Encoding, text.Segments.Count, costWarning(text.Segments)
			}
			return &struct{ Body PreviewOut }{out}, nil
		})
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
