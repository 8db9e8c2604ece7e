package templates

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"harmonize.care/heed/channels"
)

var reminderCategory = Category{"appointment_reminder", true, ContentMinimal}

// cedar is a practice as its settings name it.
func cedar() Identity {
	i := SampleIdentity()
	i.Name = "Cedar Practice"
	return i
}

// draftOf gives a built-in template as a draft, with words of its source replaced.
func draftOf(t testing.TB, name string, replace ...string) Draft {
	t.Helper()
	d, ok := Builtin().Draft(name)
	if !ok {
		t.Fatal("no such template")
	}
	changed := strings.NewReplacer(replace...).Replace(d.Source)
	if len(replace) > 0 && changed == d.Source {
		t.Fatal("nothing was replaced")
	}
	d.Source = changed
	return d
}

// without takes every text of a channel out of a source.
func without(source, channel string) string {
	var b strings.Builder
	for _, s := range sections(source) {
		if !strings.Contains(s.title, " "+channel+" ") {
			b.WriteString("== " + s.title + "\n" + s.text)
		}
	}
	return b.String()
}

// An own text goes the ways that it has words for; by voice its words stand within what
// every call says, which is still there where own texts are in force.
func TestOwnTextsAreSpoken(t *testing.T) {
	set := Builtin()
	d := draftOf(t, "appointment_reminder", "This is a reminder of", "We are looking forward to")
	own, err := set.Parse(d, reminderCategory, cedar())
	if err != nil {
		t.Fatal(err)
	}
	set = set.With([]Own{{d.Name, own, true}})
	for form, want := range map[Form]string{
		Full: "Hello, this is Cedar Practice. To stop these calls and texts, press 9.\nWe are looking forward to your appointment", Voicemail: "This is Cedar Practice. Please call us at",
	} {
		text, err := own.Render(Request{Channel: channels.Voice, Form: form, Locale: "en", Vars: own.Sample("en", true), Identity: cedar()})
		if err != nil || !strings.HasPrefix(text.Text, want) {
			t.Errorf("%s: %v %s", form, err, text.Text)
		}
	}
	if text, err := set.Say(LineGoodbye, "en", true, cedar()); err != nil || text.Text != "Goodbye." {
		t.Errorf("%v %q", err, text.Text)
	}
	d.Source = without(d.Source, "voice")
	if own, err = set.Parse(d, reminderCategory, cedar()); err != nil || own.Goes(channels.Voice) || !own.Goes(channels.SMS) {
		t.Errorf("%v: without spoken words it goes by %v", err, own.Channels())
	}
	letter, _ := set.Draft("treatment_update")
	letter.Source = without(letter.Source, "sms")
	if own, err = set.Parse(letter, Category{"treatment_update", true, ContentClinical}, cedar()); err != nil || !own.Goes(channels.Voice) || own.Has(channels.Voice, Full, false) {
		t.Errorf("%v: of clinical words nobody is asked to call back: %v", err, own.Channels())
	}
}

// Whoever starts from a built-in text finds it taken, and it says the same.
func TestBuiltinTextsAreDrafts(t *testing.T) {
	set := Builtin()
	for _, name := range set.Names() {
		d, ok := set.Draft(name)
		t0, _ := set.Get(name)
		if ok != (t0.Category != "") {
			t.Fatalf("%s: a draft of it: %t", name, ok)
		}
		if !ok {
			continue
		}
		read, err := ReadDraft(d.File())
		if err != nil || read.Digest() != d.Digest() {
			t.Errorf("%s: reads back as another: %v", name, err)
		}
		own, err := set.Parse(d, Category{t0.Category, t0.Essential, t0.Content}, cedar())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Equal(own.Wordings(), t0.Wordings()) || !own.Practice || own.Digest == t0.Digest {
			t.Errorf("%s: another text came of it", name)
		}
		if err := own.Follow(t0); err != nil {
			t.Errorf("%s: cannot follow itself: %v", name, err)
		}
	}
}

func TestDraftsAreRefused(t *testing.T) {
	long := strings.Repeat("x", 200)
	for _, c := range []struct {
		name  string
		spoil func(*Draft)
		where string
		rule  Rule
	}{
		{"a name with a slash", func(d *Draft) { d.Name = "../footer" }, "name", RuleForms},
		{"a name of a shared part", func(d *Draft) { d.Name = "footer" }, "name", RuleForms},
		{"a name of what every call says", func(d *Draft) { d.Name = "voicemail" }, "name", RuleForms},
		{"no email behind the link", func(d *Draft) { d.Source = without(d.Source, "email") }, "the template", RuleForms},
		{"mental health, spoken", func(d *Draft) {
			d.Source = strings.Replace(d.Source, "== en voice normal\nThis is a reminder of your appointment", "== en voice normal\nThis is a reminder of your therapy", 1)
		}, "en voice, full", RuleMentalHealth},
		{"no room in a call", func(d *Draft) {
			d.Source = without(d.Source, "sms")
			d.Variables[3].Max = 2300
		}, "en voice, full", RuleLength},
		{"a name of an answer", func(d *Draft) { d.Name = "help" }, "name", RuleForms},
		{"another category", func(d *Draft) { d.Category = "marketing" }, "the template", RuleContent},
		{"more content than the category has", func(d *Draft) { d.Content = ContentClinical }, "the template", RuleContent},
		{"an unknown content", func(d *Draft) { d.Content = "some" }, "content", RuleContent},
		{"no texts", func(d *Draft) { d.Source = "Hello" }, "source", RuleForms},
		{"a carriage return", func(d *Draft) { d.Source += "\r" }, "source", RuleForms},
		{"a bidirectional override", func(d *Draft) { d.Source += "\u202e" }, "source", RuleForms},
		{"not UTF-8", func(d *Draft) { d.Source += "\xff" }, "source", RuleForms},
		{"too long", func(d *Draft) { d.Source += strings.Repeat("x", 1<<20) }, "source", RuleLength},
		{"an unknown language", func(d *Draft) { d.Source += "\n== fr sms normal\nBonjour" }, "line 70", RuleForms},
		{"an unknown channel", func(d *Draft) { d.Source += "\n== en fax normal\nHello" }, "line 70", RuleForms},
		{"an unknown manner", func(d *Draft) { d.Source += "\n== en sms loud\nHello" }, "line 70", RuleForms},
		{"a text that is there twice", func(d *Draft) { d.Source += "\n== en sms normal\nHello" }, "source", RuleForms},
		{"a misspelt subject", func(d *Draft) { d.Source = strings.Replace(d.Source, "Subject:", "Subjekt:", 1) }, "", RuleForms},
		{"a brace that stays open", func(d *Draft) { d.Source = strings.Replace(d.Source, "{sender}", "{sender", 1) }, "", RuleForms},
		{"a text that is missing in Spanish", func(d *Draft) { d.Source = d.Source[:strings.Index(d.Source, "== es email discreet")] }, "", RuleForms},
		{"a variable of no kind", func(d *Draft) { d.Variables[1].Kind = "number" }, "variables[1]", RuleVariables},
		{"a variable that the gateway fills in", func(d *Draft) { d.Variables[1].Name = "sender" }, "variables[1]", RuleVariables},
		{"two times", func(d *Draft) { d.Variables[1].Kind, d.Variables[1].Max = KindTime, 40 }, "variables", RuleVariables},
		{"one name twice", func(d *Draft) { d.Variables[1].Name = "appointment_time" }, "variables[1]", RuleVariables},
		{"too many variables", func(d *Draft) { d.Variables = slices.Repeat(d.Variables, 6) }, "variables", RuleVariables},
		{"no room in an SMS", func(d *Draft) { d.Variables[3].Max = 1500 }, "en sms, full", RuleLength},
		{"the practice's own name in a discreet text", func(d *Draft) {
			d.Source = strings.Replace(d.Source, "{sender}: Appointment {appointment_time}.", "{sender} ("+cedar().Name+"): {appointment_time}.", 1)
		}, "en sms, full, discreet", RuleIdentity},
		{"mental health", func(d *Draft) { d.Source = strings.Replace(d.Source, "Appointment ", "Therapy ", 1) }, "en sms, full", RuleMentalHealth},
		{"no way to stop", func(d *Draft) { d.Source = strings.Replace(d.Source, "Reply STOP to stop.", "", 1) }, "en sms, full", RuleOptOut},
		{"an unknown variable", func(d *Draft) { d.Source = strings.Replace(d.Source, "{location}", "{place}", 1) }, "en sms, full", RuleVariables},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := draftOf(t, "appointment_reminder")
			d.Source, d.Variables = strings.TrimRight(d.Source, "\n")+"\n", slices.Clone(d.Variables)
			lines := strings.Count(d.Source, "\n") + 2
			c.spoil(&d)
			_, err := Builtin().Parse(d, reminderCategory, cedar())
			var found Findings
			if !errors.As(err, &found) {
				t.Fatalf("taken, or another error: %v", err)
			}
			where := c.where
			if where == "line 70" {
				where = "line " + strconv.Itoa(lines)
			}
			if !slices.ContainsFunc(found, func(f Finding) bool { return f.Rule == c.rule && (where == "" || f.Where == where) }) {
				t.Errorf("found %v, want %s at %q", found, c.rule, where)
			}
			if strings.Contains(err.Error(), long) {
				t.Error("the words were repeated")
			}
		})
	}
}

// A newer version takes what waits for the older one.
func TestFollow(t *testing.T) {
	older := builtin(t, "appointment_reminder")
	for _, c := range []struct {
		name   string
		change func(*Template)
		ok     bool
	}{
		{"the same", func(*Template) {}, true},
		{"one more that may be absent", func(n *Template) { n.Variables = append(n.Variables, Variable{Name: "note", Kind: KindText, Max: 9}) }, true},
		{"more room", func(n *Template) { n.Variables[1].Max = 500 }, true},
		{"another category", func(n *Template) { n.Category = "follow_up" }, false},
		{"one less", func(n *Template) { n.Variables = n.Variables[:3] }, false},
		{"less room", func(n *Template) { n.Variables[1].Max = 10 }, false},
		{"another kind", func(n *Template) { n.Variables[1].Kind = KindURL }, false},
		{"one that became required", func(n *Template) { n.Variables[2].Required = true }, false},
		{"a new one that is required", func(n *Template) {
			n.Variables = append(n.Variables, Variable{Name: "note", Kind: KindText, Max: 9, Required: true})
		}, false},
	} {
		newer := *older
		newer.Variables = slices.Clone(older.Variables)
		c.change(&newer)
		if err := newer.Follow(older); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A set with own texts: they stand in the place of built-in ones, what went out is
// found again, and what can no longer be used leaves nothing in its place.
func TestSetWithOwn(t *testing.T) {
	set := Builtin()
	d := draftOf(t, "appointment_reminder", "Reply STOP to stop.", "Reply STOP to end these.")
	first, err := set.Parse(d, reminderCategory, cedar())
	if err != nil {
		t.Fatal(err)
	}
	d.Source = strings.ReplaceAll(d.Source, "to end these", "to end them")
	second, err := set.Parse(d, reminderCategory, cedar())
	if err != nil {
		t.Fatal(err)
	}
	name := d.Name
	before, _ := set.Get(name)
	with := set.With([]Own{{name, first, false}, {name, second, true}, {"follow_up", nil, true}, {"mine", first, true}})
	if got, _ := with.Get(name); got != second {
		t.Error("the version in force is another")
	}
	for digest, want := range map[string]*Template{"": second, first.Digest: first, second.Digest: second, before.Digest: before} {
		if got, ok := with.At(name, digest); !ok || got != want {
			t.Errorf("%q: another version", digest)
		}
	}
	if _, ok := with.At(name, "beef"); ok {
		t.Error("a wording that nobody wrote was found")
	}
	if _, ok := with.Get("follow_up"); ok {
		t.Error("the built-in text stands in for one that cannot be used")
	}
	if _, ok := with.Get("mine"); !ok {
		t.Error("a name of the practice's own is not there")
	}
	if got, _ := set.Get(name); got != before {
		t.Error("the set below was changed")
	}
	if got := second.Channels(); !slices.Equal(got, before.Channels()) || !slices.Contains(got, channels.Email) {
		t.Errorf("channels %v", got)
	}
}

func TestReadDraft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Draft{
			Name: rapid.StringMatching(`[a-z][a-z_]{0,20}`).Draw(t, "name"), Category: rapid.StringMatching(`[a-z_]{1,20}`).Draw(t, "category"),
			Content: rapid.SampledFrom([]string{"", ContentNone, ContentMinimal}).Draw(t, "content"),
			Source:  "== en sms normal\n" + rapid.StringMatching(`[a-z =\n]{0,40}`).Draw(t, "text"),
		}
		for range rapid.IntRange(0, 4).Draw(t, "variables") {
			d.Variables = append(d.Variables, Variable{
				Name: rapid.StringMatching(`[a-z]{1,9}`).Draw(t, "variable"), Kind: rapid.SampledFrom([]string{KindText, KindTime, KindDate, KindURL}).Draw(t, "kind"),
				Required: rapid.Bool().Draw(t, "required"), Lines: rapid.Bool().Draw(t, "lines"), Max: rapid.IntRange(1, 5000).Draw(t, "max"),
			})
		}
		got, err := ReadDraft(d.File())
		if err != nil || got.Digest() != d.Digest() {
			t.Fatalf("%v\n%s\nreads as %+v", err, d.File(), got)
		}
	})
	for _, bad := range []string{"Nme: x", "Name: a\nName: b", "Variable: x", "Variable: x text max", "Variable: x text big", "words"} {
		if _, err := ReadDraft(bad + "\n\n== en sms normal\nHello"); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// FuzzParse: whatever somebody writes, it is refused or it renders by the rules.
func FuzzParse(f *testing.F) {
	for _, name := range Builtin().Names() {
		if d, ok := Builtin().Draft(name); ok {
			f.Add(d.File())
		}
	}
	f.Add("Name: x\nCategory: follow_up\nVariable: text text\n\n== en sms normal\n{sender}[[{text}]]")
	set := Builtin()
	f.Fuzz(func(t *testing.T, file string) {
		d, err := ReadDraft(file)
		if err != nil {
			return
		}
		own, err := set.Parse(d, Category{d.Category, true, ContentClinical}, cedar())
		if err != nil {
			var found Findings
			if !errors.As(err, &found) || len(found) == 0 {
				t.Fatalf("not findings: %v", err)
			}
			return
		}
		for _, w := range own.Wordings() {
			if _, err := own.Render(Request{
				Channel: w.Channel, Form: w.Form, Discreet: w.Discreet, Locale: w.Language, Vars: own.Sample(w.Language, true), Identity: cedar(), Links: SampleLinks(),
			}); err != nil {
				t.Errorf("it was taken and does not render: %v", err)
			}
		}
	})
}
