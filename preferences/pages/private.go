package pages

import (
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
)

// maxElsewhere is how much may be said of another address, in characters.
const maxElsewhere = 300

// privateForm is the request to be reached only in certain ways: 45 CFR 164.522(b).
// It asks for no reason, and shows no address: whoever has the link sees it.
type privateForm struct {
	Ways      []string // sms, voice, email, here, letters
	Discreet  bool
	Elsewhere string
}

// Ticked says whether a way was ticked, for the form that is shown again.
func (f privateForm) Ticked(way string) bool { return slices.Contains(f.Ways, way) }

type privatePage struct {
	Form    privateForm
	Problem problem
	Here    string // the words for the address of the link; "" where it is not known
	InForce bool
	Longest int
}

func (p *Pages) showPrivate(w http.ResponseWriter, status int, v *visit, form privateForm, wrong problem) {
	f := p.frame(v.lang, say(v.lang, "private.title"))
	page := privatePage{Form: form, Problem: wrong, InForce: v.tellsInstruction(), Longest: maxElsewhere}
	if a := v.snapshot.AddressByID(v.address); a != nil {
		page.Here = say(v.lang, "private.here."+a.Kind.String())
	}
	f.Wrong, f.View, f.Page = wrong.Text != "", "private", page
	p.show(w, status, "private", f)
}

func (p *Pages) askPrivate(w http.ResponseWriter, r *http.Request, v *visit) {
	form := privateForm{Ways: r.PostForm["way"], Discreet: r.PostForm.Has("discreet"), Elsewhere: strings.Join(strings.Fields(r.PostFormValue("elsewhere")), " ")}
	request := p.request(v, form)
	letters := form.Ticked("letters")
	switch some := len(request.Channels)+len(request.Only) > 0; {
	case !some && !letters:
		p.showPrivate(w, http.StatusUnprocessableEntity, v, form, problem{Text: say(v.lang, "private.no_way"), Field: "sms"})
		return
	case some && letters:
		p.showPrivate(w, http.StatusUnprocessableEntity, v, form, problem{Text: say(v.lang, "private.both"), Field: "letters"})
		return
	case utf8.RuneCountInString(form.Elsewhere) > maxElsewhere:
		p.showPrivate(w, http.StatusUnprocessableEntity, v, form, problem{Text: say(v.lang, "private.too_long", maxElsewhere), Field: "elsewhere"})
		return
	}
	told, err := p.Intake.RequestConfidential(r.Context(), actor, v.snapshot.Patient, request)
	if err != nil {
		p.fault(w, r, err)
		return
	}
	done := say(v.lang, "private.done")
	if !told {
		done = say(v.lang, "private.done_call")
	}
	p.changed(w, r, v, done)
}

func (p *Pages) request(v *visit, form privateForm) intake.ConfidentialRequest {
	in := intake.ConfidentialRequest{
		Channels: channelsOf(form.Ways), Discreet: form.Discreet, Elsewhere: form.Elsewhere, Proved: v.proved, Evidence: p.evidence(v),
	}
	if a := v.snapshot.AddressByID(v.address); a != nil && form.Ticked("here") {
		pair := preferences.Pair{Channel: channels.SMS, Address: a.ID}
		if a.Kind == channels.Mailbox {
			pair.Channel = channels.Email
		}
		in.Only = []preferences.Pair{pair}
	}
	return in
}
