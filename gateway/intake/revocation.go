package intake

import (
	"slices"
	"strings"
	"unicode"
)

// revocation reads a stop that is no keyword, as a reasonable person would read it:
// 47 CFR 64.1200(a)(10)(i). The word "stop" in a sentence is not enough: "I can't
// stop crying" is none. What is stopped has to be the texts, the calls or the list,
// except where nothing else is said: "stop, please".
//
// Each sentence is read by itself, so that one does not end in another, and then
// the whole, for those who write a point for a space.
func (h *Heard) revocation(text string) {
	parts := sentences(text)
	for _, part := range parts {
		words := reworded(normal(part, unlessApostrophe))
		h.politely(words, len(parts) == 1)
		h.revokes(words)
	}
	for _, words := range readings(text) {
		h.politely(words, true)
		h.revokes(words)
	}
}

// sentences cuts a text where a sentence may end: at a mark, a line, an emoji.
func sentences(text string) []string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	list := strings.FieldsFunc(text, func(r rune) bool {
		return strings.ContainsRune(".!?¡¿;…\n\r", r) || unicode.Is(unicode.So, r)
	})
	return slices.DeleteFunc(list, func(s string) bool { return strings.TrimSpace(s) == "" })
}

// politely hears a stop keyword with nothing but courtesy, or the texts, around it.
// As one sentence of several only the plainest count: "Cancel. I can't make it on
// Monday" means the appointment.
func (h *Heard) politely(words []string, alone bool) {
	for i, list := range [][]string{trimmed(words, courtesy, courtesy), trimmed(words, courtesy, courtesy+"|"+ourTexts)} {
		k, ok := keyword(strings.Join(list, " "))
		if !ok || !(k.Stop || k.StopAll) || !alone && !slices.Contains([]string{"stop", "unsubscribe", "optout", "opt out", "stopall", "stop all", "parar todo", "dar de baja"}, k.Keyword) {
			continue
		}
		h.Revocation = true
		h.StopAll, h.Spanish = h.StopAll || k.StopAll, h.Spanish || k.Spanish
		if i == 0 { // "cancel texts" leaves no doubt what is meant
			h.Cancel, h.HighOrLow = h.Cancel || k.Cancel, h.HighOrLow || k.HighOrLow
		}
		return
	}
}

// trimmed takes words off the beginning and the end.
func trimmed(words []string, before, after string) []string {
	for len(words) > 0 && oneOf(before, words[0]) {
		words = words[1:]
	}
	for len(words) > 0 && oneOf(after, words[len(words)-1]) {
		words = words[:len(words)-1]
	}
	return words
}

func (h *Heard) revokes(words []string) {
	if revocation.in(without(words, inPassing...), h) {
		h.Revocation = true
	}
}

// Words that many of the phrases share.
const (
	courtesy = "please|thanks|thank|you|so|much|now|ok|okay|hi|hello|hey|and|sorry|sir|maam|just|kindly|already|immediately|asap|right|again|sincerely|por|favor|gracias|muchas|ya|hola|oye|senor|senora|ahora|inmediatamente"
	ourTexts = "texts|text|texting|messages|message|messaging|sms|calls|calling|reminders|notifications|alerts|the|these|those|your|this|it|me|my|to|from|mensajes|mensaje|textos|llamadas|recordatorios|avisos|los|las|estos|sus|de"
	things   = "texts|text|texting|messages|message|messaging|sms|calls|reminders|notifications|notification|alerts|spam|robocalls|emails"
	cosas    = "mensajes|mensaje|textos|texto|llamadas|recordatorios|avisos|notificaciones|sms|alertas"
	reach    = "text|message|contact|call|phone|sms|txt|remind|notify"
	ends     = "please|thanks|thank|now|any|again|ever|anymore|immediately|or|and|i|at|$"
)

var revocation = phrases{
	[]string{
		"stop|quit|cease texting|messaging|contacting|reminding|notifying|spamming|robocalling|harassing|bothering",
		"stop|quit|cease calling me|us|this|my|here|please|now|and|$", "stop|quit|cease sending ~ " + things,
		"stop|quit|cease sending me|us|these|this|those|it|stuff|anything|any|them|$",
		"stop|end|cancel|discontinue|cease|halt|block|turn all|off|any|getting|receiving|the|these|those|your|this|with|my? future|more|of|all|the|these|your|automated|appointment? text|automated|appointment|reminder? " + things,
		"^ please|just|and|ok|you|to? stop|quit this|it|these|that please|thanks|now|$", "^ stop # $", "^ stop i|who|you|stop|do|no|never|we|leave|not|wrong",
		"take|get|keep|remove|delete|drop|scratch|strike|erase ~ off|from|out ~ list|lists|database|directory|contacts|texting|messaging|texts|messages|calls|reminders|notifications|sms|distribution",
		"take|get|keep me|us|my|this number|phone|cell? off|out $|please|thanks|thank|now|immediately",
		"remove|delete|take me|us|my|this number|phone? off|from this|that|here|all|everything|it|there|yours $", "remove|delete|unsubscribe me|us " + ends,
		"remove|delete|erase|lose my|this number|phone|cell|contact|info", "want|need off ~ list", "take|get me|us off of this|these|here $", "unsubscribe",
		"opt me|us|my out", "opt|opting|opted ~ out of? ~ " + things, "opt|opting out " + ends, "optout", "^ opt out", "want|like|wish|trying to opt out",
		"no more any? of? your|the|these? automated|reminder|appointment? text? " + things, "no more texting|messaging|contact|calling",
		"^ please|ok|and? no " + things + " please|thanks|now|$", "^ please? no more please|thanks|now|$",
		"not|never ever? " + reach + " me|us|this|again|any|here", "not|never ever? " + reach + " my number|phone|cell|mobile", "not|never " + reach + " $",
		"not|never send ~ " + things, "not|never send me|us? anything|any|these|those|again|them|stuff|$",
		"not|never ever? be " + "texted|contacted|messaged", "not want|wanna|wish|like ~ to? be? texted|contacted|messaged", "not want|wish|need|like ~ " + things,
		"not want you|anyone|yall to? " + reach + "ing?", "not want|wish you to " + reach, "not want these|them $",
		"not|never allowed|authorized|permitted to " + reach, "not|no have|longer? my? consent|permission to? " + reach, "no longer have my consent|permission",
		"no longer wish|want to receive|get|be texted|contacted|messaged?", "no longer wish|want to receive|get ~ " + things,
		"^ please|just|and|ok? leave me|us alone", "you to? leave me|us alone", "please|just leave me|us alone", "^ i said stop $", "you|yall need|have to stop $",
		"enough ~ texts|messages|texting|messaging", "stop getting|receiving these|this|them|it", "not interested stop",
		"like|want these|this|the|your? texts|messages? to stop $", "^ go away please|$", "fuck|piss off",
		"revoke|revoking|revoked|withdraw|withdrawing|rescind my|all|the|any|prior? consent|permission|authorization", "^ i revoke", "end|terminate ~ subscription",
		"cease and desist", "blocking|block this|your|you number? $",
	},
	[]string{
		"no me|nos manden|mande|mandes|envien|envie|envies|mandar|enviar ~ " + cosas,
		"no me|nos manden|mande|mandes|envien|envie|envies mas|nada|ya|nunca|estos|esto|eso|por|$", "no manden|mande|mandes|envien|envie|envies ~ " + cosas,
		"no manden|envien mas|nada $",
		"no me|nos escriban|escriba|escribas|contacten|contacte|contactes|llamen|llame|llames|molesten|moleste|molestes|texteen|textee|textees", //nolint:misspell // as people write, and in Spanish
		"no escriban|llamen|contacten|texteen|molesten mas|nunca|a|al|por|$",
		"dejen|deje|deja|dejar|dejes|paren|pare|para de mandarme|enviarme|escribirme|llamarme|textearme|contactarme|molestarme|mandarnos|enviarnos|llamarnos", //nolint:misspell // as people write, and in Spanish
		"dejen|deje|deja|paren|pare de mandar|enviar|textear|escribir|contactar|llamar|molestar",
		"dejenme|dejeme|dejame en paz",
		"paren|pare|para|parar|alto|detengan|detenga|detener|cancelen|cancele|cancela|cancelar|terminen a|con|de|los|las|sus|estos|todos|esos? los|sus|estos? " + cosas,
		"no mas " + cosas, "^ ya? no mas por|gracias|$", "^ ya? basta por|gracias|$", "basta|suficiente de|con ~ " + cosas,
		"quitar|borrar|eliminar ~ de la|su|sus lista|listas", "no quiero|deseo|necesito ~ " + cosas, "no quiero|deseo recibir mas|nada|esto|eso $|por|gracias|de",
		"no quiero|deseo que me|nos manden|envien|escriban|contacten|llamen|texteen|molesten", "^ ya? no quiero mas por|gracias|$", "^ no quiero sus $",
		"quitenme|quiteme|quitame|saquenme|saqueme|sacame|borrenme|borreme|eliminenme|elimineme|remuevanme ~ lista|listas|sistema|base|mensajes|textos",
		"quitenme|quiteme|quitame|saquenme|saqueme|borrenme|borreme|eliminenme|elimineme $|por|de|ya|gracias",
		"quiten|quite|borren|borre|eliminen|elimine|saquen|saque mi|este|mis numero|telefono|datos", "denme|deme|dame|darme|denos|dar|den|doy de baja",
		"revoco|retiro mi|el? consentimiento|permiso|autorizacion", "desuscribir|desuscribirme|desuscribanme|desuscribeme|desinscribirme",
		"cancelar|cancelen|cancele la|mi suscripcion",
	},
}

// inPassing are the same words where they ask for nothing: a stop that is denied,
// told of, or about something else.
var inPassing = []string{
	"not|never stop|quit|end|cancel|block|unsubscribe|remove|cease",
	"not|never want|need|like|mean|meant|trying|mind ~ to? stop|stopping|unsubscribe|opt|remove|miss|lose|end|cancel",
	"did|have|when|if|unless|until|that|because|since|after|before|like you|they stop|quit|stopped|unsubscribe|remove",
	"did|when|if|unless|until|how i stop|unsubscribe", "you|they|he|she|it|i stopped|quit texting|calling|messaging|sending",
	"accidentally|already? unsubscribed", "did|does|has|have|had|will|would|could|can|should|may not " + reach + "|send me|us|my|back|this|any|here|again|$",
	"did|does|has|have|had|will|would|could|can not send", "why|if|when|because|that|they|she|he|we you|they|he|she|i|we? do not " + reach + "|send me|us",
	"he|she|they|i|it do not " + reach + "|send",
	"not " + reach + " me|us back|before|after|until|till|today|tonight|tomorrow|yet|if|because|while|during|right|when|between|unless|by|crazy|in",
	"not " + reach + " me|us at work|home|school|night|lunch|#", "not " + reach + " me|us on monday|tuesday|wednesday|thursday|friday|saturday|sunday|weekends|my",
	"text|texting|texts me|only|please|is? not|no call|calls", "not call text|just|only",
	"not|never want|need|like|call|text|send ~ just|only|prefer|instead ~ " + things,
	"not want|need|wish ~ to|a|any reply|answer|read|delete|change|reschedule|keep|leave|find ~ " + things, "not want|need to " + reach + " me?",
	"not want you to worry|call|text back",
	"not need|want ~ more reminders|texts|messages to", "will|would|does|do|did|can|could|to|never not leave me|us alone",
	"will|would|does|do|did|never|not leave me|us alone", "he|she|they|it|never leave|leaves me|us alone",
	"tell|told|ask|asked|asking|want|make him|her|them|my ~ to? leave|stop me?",
	"wait|waiting|waitlist|grocery|medication|med|meds|problem|problems|shopping|to list", "take|remove|get ~ off ~ schedule|lithium|meds|medication|calendar",
	"opt out of the|this|group|study|class", "no texts|messages|calls|reminders from|yet|today|came|were|received",
	"tell|told|asked|ask|made|make|making my|him|her|them ~ stop", "bus|truck|full|pit|next|first|last|non|train stop",
	"make|makes|made|making|help|helping me|it|this|them|the? ~ stop",
	"no deje|dejen|dejes|deja|paren|pare|pares|quiero|quisiera de|dejar|cancelar|parar",
	"no cancelen|cancele|canceles|cancelar|detengan|detenga|borren|borre|quiten|quite|eliminen", //nolint:misspell // as people write, and in Spanish
	"no me|nos llame|llamen|llames|escriban|contacten|manden|envien hoy|ahora|antes|despues|hasta|manana|todavia|temprano|tarde|si|cuando|mientras|solo",
	"no me llamen|llame|contacten|llames al|en|a trabajo|el|mi|las",
	"si|porque|cuando no me|nos " + "manden|mandan|llaman|llamen|escriben|escriban|contactan|contacten|envian|envien", "no me|te llamo|llama|llaman",
	"no quiero|necesito perder|perderme|dejar|olvidar|borrar|cancelar", "no quiero ~ solo|solamente|prefiero ~ " + cosas,
}
