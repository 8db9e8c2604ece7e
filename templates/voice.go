package templates

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"harmonize.care/heed/channels"
)

// A call says an opening, the template's own words, the number to call and the
// keys. The template writes only its own words, so that no text can forget who is
// calling and how to stop it: 47 CFR 64.1200(b).

// Line names what is said in every call, or answered to a key: texts/voice.txt.
type Line string

// The lines.
const (
	LineOpening     Line = "opening"
	LineNumber      Line = "number"
	LineKeysConfirm Line = "keys to confirm" // where there is something to confirm
	LineKeys        Line = "keys"
	LineStopped     Line = "stopped"   // 9
	LineConfirmed   Line = "confirmed" // 1
	LineCallBack    Line = "call back" // 2
	LineGoodbye     Line = "goodbye"
	LineWithheld    Line = "withheld" // the message may not be said any more
	LineOptOut      Line = "line"     // the opt-out line answers
	LineOptOutKeys  Line = "line keys"
	LineOptOutDone  Line = "line stopped"
	LineHidden      Line = "line hidden" // the caller hides the number
)

// lines lists every line.
func lines() []Line {
	return []Line{
		LineOpening, LineNumber, LineKeysConfirm, LineKeys, LineStopped, LineConfirmed, LineCallBack, LineGoodbye, LineWithheld,
		LineOptOut, LineOptOutKeys, LineOptOutDone, LineHidden,
	}
}

// spoken holds the lines by language and name.
type spoken map[string]phrase

func spokenKey(language string, l Line) string { return language + " " + string(l) }

// voice is what the spoken texts of all templates share.
type voice struct {
	lines               spoken
	callBack, voicemail string
	files               []string // all of it, as written
}

func readVoice(from fs.FS) (voice, error) {
	files, err := readAll(from, "texts/voice.txt", "texts/call_back.txt", "texts/voicemail.txt")
	if err != nil {
		return voice{}, err
	}
	v := voice{lines: spoken{}, callBack: files[1], voicemail: files[2], files: files}
	for _, s := range sections(files[0]) {
		if v.lines[s.title], err = parsePhrase(strings.TrimSpace(s.text)); err != nil {
			return v, fmt.Errorf("texts/voice.txt: == %s: %w", s.title, err)
		}
	}
	for _, language := range languages() {
		for _, l := range lines() {
			if v.lines[spokenKey(language, l)].source == "" {
				return v, fmt.Errorf("texts/voice.txt: == %s is missing", spokenKey(language, l))
			}
		}
	}
	return v, nil
}

// isSpoken: the template has words of its own for a call, or its words are clinical
// and only a call back is ever spoken of.
func (t *Template) isSpoken() bool {
	for key := range t.words {
		if key.channel == channels.Voice {
			return true
		}
	}
	return t.Content == ContentClinical
}

// speak adds what the template shares with all that are spoken.
func (t *Template) speak(v voice) error {
	t.spoken = v.lines
	if err := parseWords(v.callBack, CallBack, t.words); err != nil {
		return fmt.Errorf("texts/call_back.txt: %w", err)
	}
	if err := parseWords(v.voicemail, Voicemail, t.words); err != nil {
		return fmt.Errorf("texts/voicemail.txt: %w", err)
	}
	return nil
}

// Confirms says whether a text in this form says something to confirm: an
// appointment's time.
func (t *Template) Confirms(f Form) bool {
	return f == Full && slices.ContainsFunc(t.Variables, func(v Variable) bool { return v.Kind == KindTime })
}

// Keys names the line that says which keys a call offers.
func (t *Template) Keys(f Form) Line {
	if t.Confirms(f) {
		return LineKeysConfirm
	}
	return LineKeys
}

// Say writes one line for a call. The error is a *Refused: a setting is missing.
func (s *Set) Say(l Line, locale string, discreet bool, i Identity) (Text, error) {
	m := &message{template: &Template{spoken: s.shared.voice.lines}, request: &Request{Channel: channels.Voice, Discreet: discreet, Identity: i}, language: languageOf(locale)}
	values, err := m.values()
	if err != nil {
		return Text{}, err
	}
	text, err := m.line(l, values)
	return Text{Language: m.language, Text: text}, err
}

func (m *message) isCall() bool { return m.request.Channel == channels.Voice }

func (m *message) line(l Line, values map[string]string) (string, error) {
	return m.fill(m.template.spoken[spokenKey(m.language, l)], values)
}

// voice writes a whole script, a line for each breath. A machine hears its own
// words alone.
func (m *message) voice(w words, values map[string]string) error {
	body, err := m.fill(w.body, values)
	if err != nil {
		return err
	}
	var said []string
	add := func(text string) {
		for line := range strings.SplitSeq(text, "\n") {
			if line = oneLine(line); line != "" {
				said = append(said, line)
			}
		}
	}
	if m.request.Form == Voicemail {
		add(body)
	} else {
		for _, l := range []Line{LineOpening, "", LineNumber, m.template.Keys(m.request.Form)} {
			text := body
			if l != "" {
				if text, err = m.line(l, values); err != nil {
					return err
				}
			}
			add(text)
		}
	}
	m.text.Text = strings.Join(said, "\n")
	return nil
}

// soundSettings makes the practice's own names and numbers fit to be heard.
func (m *message) soundSettings(values map[string]string) {
	i := m.request.Identity
	for _, name := range []string{"sender", "discreet_name"} {
		values[name] = aloud(values[name], m.language)
	}
	values["phone"], values["opt_out_phone"] = digitByDigit(i.Phone), digitByDigit(i.OptOutPhone)
}

// digitByDigit writes a number so that it is read digit by digit, in groups as
// people say them: "8 8 8, 5 5 5, 0 1 0 0".
func digitByDigit(e164 string) string {
	var b strings.Builder
	for at, r := range written(e164) {
		switch {
		case r == '-':
			b.WriteString(",")
		case r != '+':
			if at > 0 {
				b.WriteString(" ")
			}
			b.WriteRune(r)
		}
	}
	return strings.TrimSpace(b.String())
}

// aloud makes a value fit to be read by a machine: one line, and no sign that the
// machine would spell out or that XML has to escape.
func aloud(value, language string) string {
	and := " and "
	if language == spanish {
		and = " y "
	}
	return oneLine(strings.NewReplacer("&", and, "<", " ", ">", " ", `"`, "", "'", "’").Replace(plain(value)))
}

// earlyWords is how many words may stand before who is calling, or between that and
// the key to opt out: two seconds hold some five to six (47 CFR 64.1200(b)(3)).
const earlyWords = 5

// saidFirst: who is calling comes at the beginning of the call.
func saidFirst(text, names string) bool {
	before, _, ok := strings.Cut(text, names)
	return ok && len(strings.Fields(before)) <= earlyWords
}

// optOutAloud: the key follows who is calling; a machine is left the toll-free number.
func (m *message) optOutAloud() string {
	if m.request.Form == Voicemail {
		if number := digitByDigit(m.request.Identity.OptOutPhone); number == "" || !strings.Contains(m.text.Text, number) {
			return "the voicemail does not say the toll-free number to opt out: use {opt_out_phone}, and set practice.opt_out_phone"
		}
		return ""
	}
	_, after, _ := strings.Cut(m.text.Text, aloud(m.sender(), m.language))
	for n, w := range read(after) {
		switch {
		case n > 2*earlyWords: // the key is the last word of what is said about it
		case w.folded == "9":
			return ""
		}
	}
	return "the call does not say at once which key stops it: 47 CFR 64.1200(b)(3)"
}
