package intake

import "slices"

// meaning is one meaning and its whole-message keywords, normalised.
type meaning struct {
	english, spanish []string
	set              func(*Heard)
}

// meanings are the keywords: 47 CFR 64.1200(a)(10)(i) and the carriers' own lists.
// YES is an answer, never a START: people answer yes to questions.
var meanings = []meaning{
	{
		[]string{"stop", "unsubscribe", "end", "quit", "revoke", "optout", "opt out", "remove"},
		[]string{"parar", "dar de baja", "detener"}, func(h *Heard) { h.Stop = true },
	},
	{[]string{"cancel"}, []string{"cancelar"}, func(h *Heard) { h.Stop, h.Cancel = true, true }},
	{nil, []string{"alto", "baja"}, func(h *Heard) { h.Stop, h.HighOrLow = true, true }},
	{[]string{"stopall", "stop all"}, []string{"parar todo"}, func(h *Heard) { h.StopAll = true }},
	{[]string{"start", "unstop"}, []string{"iniciar"}, func(h *Heard) { h.Start = true }},
	{[]string{"help", "info"}, []string{"ayuda"}, func(h *Heard) { h.Help = true }},
	{[]string{"c", "confirm", "y", "yes"}, []string{"confirmar", "si"}, func(h *Heard) { h.Confirm = true }},
	{[]string{"r", "reschedule"}, []string{"reprogramar"}, func(h *Heard) { h.Reschedule = true }},
}

// keyword gives what a whole text means as a keyword.
func keyword(text string) (Heard, bool) {
	for _, m := range meanings {
		spanish := slices.Contains(m.spanish, text)
		if spanish || slices.Contains(m.english, text) {
			h := Heard{Keyword: text, Spanish: spanish}
			m.set(&h)
			return h, true
		}
	}
	return Heard{}, false
}

// wrongNumber: somebody else answers.
var wrongNumber = phrases{
	[]string{
		"wrong number|person|phone", "you have the? wrong", "got the? wrong number|person|phone", "not my appointment", "this is not her|him", "do not know who this is for",
		"do not know this person", "no longer this persons number", "not the person", "nobody|noone here? by that name", "no one here? by that name", "not his|her number",
	},
	[]string{"numero equivocado|incorrecto", "persona equivocada", "se equivoco|equivocaron de numero", "no soy esa persona", "no conozco a esa persona"},
}
