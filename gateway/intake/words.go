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

// phrases are words and phrases of one meaning, normalised, apostrophes dropped.
type phrases struct{ english, spanish []string }

// crisis: words of self-harm or danger. Rather one call too many than one too few.
var crisis = phrases{
	[]string{
		"suicide", "suicidal", "kill myself", "killing myself", "kill me", "end my life", "ending my life", "take my life", "take my own life",
		"end it all", "want to die", "wanna die", "want to be dead", "wish i was dead", "wish i were dead", "better off dead", "better off without me",
		"hurt myself", "hurting myself", "harm myself", "harming myself", "self harm", "selfharm", "cut myself", "cutting myself",
		"overdose", "overdosed", "overdosing", "no reason to live", "dont want to live", "do not want to live", "dont want to be here anymore",
		"cant go on", "cannot go on", "going to jump", "have a gun", "hang myself", "not safe", "im in danger", "i am in danger",
		"hurt someone", "kill someone", "kill him", "kill her", "kill them", "he is going to kill", "she is going to kill", "hes going to kill",
		"being abused", "hes hitting me", "he is hitting me", "she is hitting me", "shes hitting me", "kms",
	},
	[]string{
		"suicidio", "suicidarme", "matarme", "me quiero matar", "quiero morir", "quiero morirme", "me quiero morir", "quitarme la vida", "acabar con mi vida",
		"terminar con mi vida", "acabar con todo", "hacerme dano", "lastimarme", "cortarme", "sobredosis", "no quiero vivir", "no quiero seguir viviendo",
		"ya no puedo mas", "no puedo mas", "estoy en peligro", "me va a matar", "me esta pegando", "mejor muerto", "mejor muerta",
	},
}

// wrongNumber: somebody else answers.
var wrongNumber = phrases{
	[]string{
		"wrong number", "wrong person", "wrong phone", "you have the wrong", "you have wrong", "not my appointment", "this is not her", "this is not him",
		"this isnt her", "this isnt him", "dont know who this is for", "dont know this person", "no longer this persons number", "not the person",
		"nobody by that name", "no one by that name", "no one here by that name", "nobody here by that name", "not his number", "not her number",
	},
	[]string{"numero equivocado", "numero incorrecto", "persona equivocada", "se equivoco de numero", "se equivocaron de numero", "no soy esa persona", "no conozco a esa persona"},
}

// revocation: a stop as a reasonable person would read it.
var revocation = phrases{
	[]string{
		"stop texting", "stop messaging", "stop sending", "stop contacting", "stop calling", "stop these", "stop this", "stop the texts", "stop the messages",
		"stop it", "please stop", "just stop", "pls stop", "plz stop", "quit texting", "quit messaging", "quit sending",
		"take me off", "remove me", "remove my number", "unsubscribe me", "opt me out", "opt out please", "want to opt out", "want to unsubscribe", "please unsubscribe", "please remove",
		"no more texts", "no more messages", "no more calls", "no more text", "no more reminders", "dont text me", "do not text me", "dont message me", "do not message me",
		"dont contact me", "do not contact me", "dont call me", "do not call me", "dont send me", "do not send me", "leave me alone", "lose my number", "delete my number",
		"dont want texts", "dont want these", "do not want these", "dont want your", "do not want your", "dont want any more", "do not want any more",
		"i revoke", "revoke my consent", "i withdraw my consent", "withdraw my consent", "end these texts", "end these messages", "cease and desist",
	},
	[]string{
		"no me manden", "no me mande", "no me mandes", "no me envien", "no me envie", "no me envies", "no mas mensajes", "no mas textos", "dejen de", "deje de", "deja de mandar", "deja de enviar",
		"paren de", "pare de", "no quiero mensajes", "no quiero mas", "no quiero recibir", "no quiero sus", "quitenme", "quiteme", "borrenme", "borreme", "eliminenme", "no me escriban", "no me escribas",
		"no me contacten", "no me llamen", "denme de baja", "deme de baja", "darme de baja",
	},
}

// inPassing are uses of "stop" that say nothing about texts.
var inPassing = []string{
	"bus stop", "stop by", "stop in", "stop at", "stopped by", "cant stop", "cannot stop", "cant seem to stop", "wont stop", "doesnt stop", "dont stop", "do not stop", "never stop",
	"stop crying", "stop thinking", "stop taking", "stop my", "stop eating", "stop drinking", "stop smoking", "stop shaking", "stop the medication", "stop the meds", "stop meds", "stop therapy",
}
