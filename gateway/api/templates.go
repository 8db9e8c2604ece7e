package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

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
	Waiting   []int                `json:"waiting" doc:"The versions that wait for a second person."`
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

// VariableIn is one as a new version declares it.
type VariableIn struct {
	Name     string `json:"name" maxLength:"40"`
	Required bool   `json:"required,omitempty"`
	Kind     string `json:"kind" enum:"text,time,date,url"`
	Max      int    `json:"max,omitempty" minimum:"1" maximum:"5000" doc:"The most characters; without it 200 for a text, 300 for a url."`
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
	Name      string       `json:"name" minLength:"1" maxLength:"40"`
	Category  string       `json:"category" minLength:"1" maxLength:"64"`
	Content   string       `json:"content,omitempty" enum:"none,minimal,clinical" doc:"The most it carries. Without it, what the category may carry."`
	Variables []VariableIn `json:"variables,omitempty" maxItems:"20" nullable:"false"`
	Source    string       `json:"source" minLength:"1" maxLength:"65536" lines:"free" doc:"The texts, each under a line such as: == en sms normal"`
}

// TemplatePath is a path with a template's name; exported, or huma passes it over.
type TemplatePath struct {
	Name string `path:"name" maxLength:"64"`
}

// TemplateVersionPath is one version of it.
type TemplateVersionPath struct {
	TemplatePath
	Version string `path:"n" maxLength:"24"`
}

// version reads the number; what is none names nothing.
func (p TemplateVersionPath) version() (int, error) {
	n, err := strconv.Atoi(p.Version)
	if err != nil || n < 1 {
		return 0, gateway.ErrNotFound
	}
	return n, nil
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
			out.Body.Templates, err = a.TemplateList(ctx, "")
			return out, err
		})
	register(a, h, op(http.MethodGet, "/v1/templates/{name}", "One template with every version and wording", auth.ReadTemplate),
		func(ctx context.Context, in *TemplatePath) (*struct{ Body TemplateOut }, error) {
			list, err := a.TemplateList(ctx, in.Name)
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
				if v.Max == 0 {
					v.Max = templates.Room(v.Kind)
				}
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
				n, err := in.version()
				if err == nil {
					err = do.do(ctx, caller(ctx).Name, in.Name, n)
				}
				if err != nil {
					return nil, err
				}
				return a.templateVersion(ctx, in.Name, n)
			})
	}
}

// mayWrite: a marketer has no say in what an essential message says.
func (a *API) mayWrite(ctx context.Context, category string) error {
	cat, ok := a.Policy.Category(category)
	if ok && cat.Class == policy.Essential && caller(ctx).Role == auth.Marketer {
		a.refused(ctx, "post-templates", auth.WriteTemplate)
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

// TemplateList tells every template, or with a name that one with its words and versions.
func (a *API) TemplateList(ctx context.Context, name string) ([]TemplateOut, error) {
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
			row.Waiting = append(row.Waiting, v.Version)
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
		Variables: []string{}, Languages: templates.Languages(), Channels: namesOf(t.Channels()), Waiting: []int{},
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
	v, err := a.TemplateVersion(ctx, name, version)
	return &templateVersionOut{v}, err
}

// TemplateVersion tells one version of a practice's own template. gateway.ErrNotFound.
func (a *API) TemplateVersion(ctx context.Context, name string, version int) (TemplateVersionOut, error) {
	list, err := a.Wording.Versions(ctx, name)
	if err != nil {
		return TemplateVersionOut{}, err
	}
	for i := range list {
		if list[i].Version == version {
			return versionOut(&list[i]), nil
		}
	}
	return TemplateVersionOut{}, gateway.ErrNotFound
}
