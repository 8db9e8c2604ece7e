package templates

import (
	"html/template"
	"strings"
)

// layout is the page around every email: no picture, no script, nothing from
// elsewhere, so that opening a mail tells nobody anything.
type layout = *template.Template

// page is what the layout shows. The plain part says the same in the same order.
type page struct {
	Language, Subject string
	Paragraphs        [][]string // each of lines
	Link              anchor
	From              string
	Ways              []anchor // to the preferences, and out
}

type anchor struct{ Label, URL string }

func (m *message) email(w words, values map[string]string) error {
	subject, err := m.fill(w.subject, values)
	if err != nil {
		return err
	}
	body, err := m.fill(w.body, values)
	if err != nil {
		return err
	}
	p := page{Language: m.language, Subject: oneLine(subject), Paragraphs: paragraphs(body)}
	if target := values[w.target]; target != "" {
		label, err := m.fill(w.link, values)
		if err != nil {
			return err
		}
		p.Link = anchor{label, target}
	} else if w.target == secureLink {
		_, err := m.fill(phrase{parts: []part{{name: secureLink}}}, values)
		return err
	}
	if m.template.Category != "" {
		if err := m.foot(&p, values); err != nil {
			return err
		}
	}
	var html strings.Builder
	if err := m.template.layout.Execute(&html, p); err != nil {
		return err
	}
	m.text = Text{Subject: p.Subject, Text: p.plain(), HTML: html.String()}
	return nil
}

// foot says who sent the mail and, below it, how to choose and how to leave. A
// message that is essential never carries an unsubscribe.
func (m *message) foot(p *page, values map[string]string) error {
	f := m.template.footer[m.language]
	var err error
	if p.From, err = m.fill(f.from, values); err != nil {
		return err
	}
	if link := m.request.Links.Preferences; link != "" {
		p.Ways = append(p.Ways, anchor{f.preferences, link})
	}
	if link := m.request.Links.Unsubscribe; link != "" && !m.template.Essential {
		p.Ways = append(p.Ways, anchor{f.unsubscribe, link})
	}
	return nil
}

// paragraphs cuts a text at its blank lines, and each paragraph into its lines.
func paragraphs(text string) [][]string {
	var list [][]string
	var current []string
	for line := range strings.SplitSeq(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)+"\n\n", "\n") {
		switch line = strings.TrimRight(strings.ReplaceAll(line, "\t", " "), " "); {
		case line != "":
			current = append(current, line)
		case current != nil:
			list, current = append(list, current), nil
		}
	}
	return list
}

// plain writes the text part.
func (p page) plain() string {
	var blocks []string
	for _, lines := range p.Paragraphs {
		blocks = append(blocks, strings.Join(lines, "\n"))
	}
	if p.Link.URL != "" {
		blocks = append(blocks, p.Link.Label+":\n"+p.Link.URL)
	}
	var foot []string
	if p.From != "" {
		foot = append(foot, p.From)
	}
	for _, way := range p.Ways {
		foot = append(foot, way.Label+": "+way.URL)
	}
	if len(foot) > 0 {
		blocks = append(blocks, "----\n"+strings.Join(foot, "\n"))
	}
	return strings.Join(blocks, "\n\n") + "\n"
}
