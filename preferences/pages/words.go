package pages

import (
	"fmt"
	"strings"

	"golang.org/x/text/language"
)

// The languages of the pages.
const (
	english = "en"
	spanish = "es"
)

var languages = []string{english, spanish}

// phrase is one sentence or label in every language of the pages. A %s is filled
// in; what is filled in is never a person's.
type phrase struct{ en, es string }

func (p phrase) in(lang string) string {
	if lang == spanish {
		return p.es
	}
	return p.en
}

// say gives a phrase in a language. A key that nobody wrote shows as itself: a
// test holds every key of every page against the table.
func say(lang, key string, args ...any) string {
	p, ok := phrases[key]
	if !ok {
		return key
	}
	if len(args) == 0 {
		return p.in(lang)
	}
	return fmt.Sprintf(p.in(lang), args...)
}

// languageOf picks the language of a locale such as "es-MX"; all that is not
// Spanish gets English.
func languageOf(locale string) string {
	primary, _, _ := strings.Cut(strings.ReplaceAll(locale, "_", "-"), "-")
	if strings.EqualFold(primary, spanish) {
		return spanish
	}
	return english
}

// accepted picks the language a browser asks for: all we know of somebody whose
// link we cannot read.
func accepted(header string) string {
	if len(header) > 200 {
		return english
	}
	tags, _, err := language.ParseAcceptLanguage(header)
	if err != nil || len(tags) == 0 {
		return english
	}
	return languageOf(tags[0].String())
}

// phrases holds every word of the pages, written for somebody who reads in a hurry.
var phrases = map[string]phrase{
	"language":        {"Español", "English"}, // the other one, in its own words
	"language_choice": {"Language", "Idioma"},
	"error_prefix":    {"Error: ", "Error: "},
	"questions":       {"Questions? Call us at", "¿Preguntas? Llámenos al"},

	// What a link may be about.
	"all_marketing":     {"news and offers", "noticias y ofertas"},
	"all_non_essential": {"surveys, check-ins, news, offers and everything else that is not essential", "encuestas, preguntas de seguimiento, noticias, ofertas y todo lo demás que no es esencial"},
	"one_topic":         {"this topic: %s", "este tema: %s"},

	// Topics. None of them may tell what the practice treats.
	"topic.symptom_check_in":    {"Check-ins", "Preguntas de seguimiento"},
	"topic.survey":              {"Surveys", "Encuestas"},
	"topic.newsletter":          {"Newsletter", "Boletín"},
	"topic.marketing":           {"News and offers", "Noticias y ofertas"},
	"topic.sponsored_marketing": {"News that other companies pay for", "Noticias pagadas por otras empresas"},
	"topic.other_marketing":     {"Other news and offers", "Otras noticias y ofertas"},
	"topic.other":               {"Other messages", "Otros mensajes"},

	// Programs, as a person sees them.
	"program.care":      {"appointments and care", "citas y atención"},
	"program.check_in":  {"check-ins and surveys", "preguntas de seguimiento y encuestas"},
	"program.billing":   {"bills and payments", "facturas y pagos"},
	"program.marketing": {"news and offers", "noticias y ofertas"},

	"channel.sms":   {"Text message", "Mensaje de texto"},
	"channel.voice": {"Automated call", "Llamada automática"},
	"channel.email": {"Email", "Correo electrónico"},

	"state.on":      {"On", "Activado"},
	"state.stopped": {"Stopped", "Detenido"},
	"state.carrier": {"Stopped from a phone", "Detenido desde un teléfono"},
	"state.off":     {"Off", "Desactivado"},

	// The page that a link in the footer opens.
	"unsubscribe.title":  {"Stop these emails?", "¿Dejar de recibir estos correos?"},
	"unsubscribe.what":   {"This stops our emails about %s.", "Así dejará de recibir nuestros correos electrónicos sobre %s."},
	"unsubscribe.rest":   {"Messages about your appointments and care still come.", "Los mensajes sobre sus citas y su atención le seguirán llegando."},
	"unsubscribe.button": {"Stop these emails", "No recibir más estos correos"},
	"stopped.title":      {"These emails are stopped", "Ya no recibirá estos correos"},
	"stopped.what":       {"From now on we send you no emails about %s.", "Desde ahora no le enviaremos correos electrónicos sobre %s."},
	"stopped.more":       {"See and change what else you get", "Vea y cambie qué más recibe"},

	"nothing.title": {"Nothing more goes out", "No se enviará nada más"},
	"nothing.what":  {"We send no more messages for this link.", "Ya no enviamos mensajes relacionados con este enlace."},

	// The preference page.
	"preferences.title":       {"Your message choices", "Sus opciones de mensajes"},
	"preferences.intro":       {"This is what we send you. What is off, we do not send.", "Esto es lo que le enviamos. Lo que está desactivado no se lo enviamos."},
	"preferences.topics":      {"News, surveys and other messages you can stop", "Noticias, encuestas y otros mensajes que puede detener"},
	"preferences.stop":        {"Stop messages", "Detener mensajes"},
	"preferences.marketing":   {"Stop all news and offers", "Detener todas las noticias y ofertas"},
	"preferences.everything":  {"Stop everything that is not essential", "Detener todo lo que no es esencial"},
	"preferences.kept":        {"You can press these at any time. We stop at once, by email, text and call.", "Puede pulsar estos botones cuando quiera. Dejamos de enviarlos de inmediato, por correo, texto y llamada."},
	"preferences.already":     {"All news and offers are stopped.", "Todas las noticias y ofertas están detenidas."},
	"preferences.already_all": {"Everything that is not essential is stopped.", "Todo lo que no es esencial está detenido."},
	"preferences.done":        {"Done. We stopped: %s.", "Listo. Hemos detenido: %s."},

	"carrier.title": {"Texts and calls stopped from a phone", "Mensajes y llamadas detenidos desde un teléfono"},
	"carrier.why":   {"A phone that we have for you asked us to stop these texts and calls. A text from that phone turns them on again.", "Desde un teléfono que tenemos para usted se pidió detener estos mensajes y llamadas. Un mensaje de texto desde ese teléfono los activa otra vez."},
	"carrier.lift":  {"About %s: text START to %s.", "Sobre %s: envíe START al %s."},
	"carrier.from":  {"About %s: text START to the number they came from.", "Sobre %s: envíe START al número del que llegaban."},

	"essential.title":        {"Essential messages", "Mensajes esenciales"},
	"essential.what":         {"Messages about your appointments and care still come, whatever you stop here.", "Los mensajes sobre sus citas y su atención le siguen llegando, aunque detenga otros aquí."},
	"essential.how":          {"They reach you by:", "Le llegan por:"},
	"essential.declined":     {"You asked us not to use:", "Usted pidió que no usemos:"},
	"essential.person":       {"We have no way to send them to you now. A person will call or write to you instead.", "Ahora no tenemos manera de enviárselos. Una persona le llamará o le escribirá."},
	"essential.confidential": {"You asked us to reach you only in certain ways. That is in force.", "Usted pidió que nos comuniquemos solo de ciertas maneras. Así lo hacemos."},
	"preferences.rest":       {"To change anything else, or to turn something on again, call us at", "Para cambiar otra cosa, o para activar algo otra vez, llámenos al"},

	// The page behind a secure link.
	"secure.title":     {"A message for you", "Un mensaje para usted"},
	"secure.why":       {"To keep it private, please enter your date of birth.", "Para proteger su privacidad, escriba su fecha de nacimiento."},
	"secure.born":      {"Your date of birth", "Su fecha de nacimiento"},
	"secure.hint":      {"For example: March 31 1980", "Por ejemplo: 31 de marzo de 1980"},
	"secure.month":     {"Month", "Mes"},
	"secure.day":       {"Day", "Día"},
	"secure.year":      {"Year", "Año"},
	"secure.choose":    {"Choose", "Elija"},
	"secure.button":    {"Open the message", "Abrir el mensaje"},
	"secure.problem":   {"There is a problem", "Hay un problema"},
	"secure.no_month":  {"Choose the month you were born in.", "Elija el mes en que nació."},
	"secure.no_day":    {"Enter the day you were born on, such as 31.", "Escriba el día en que nació, por ejemplo 31."},
	"secure.no_year":   {"Enter the year you were born in with four digits, such as 1980.", "Escriba el año en que nació con cuatro cifras, por ejemplo 1980."},
	"secure.no_date":   {"This month does not have that day. Check the day and the month.", "Ese mes no tiene ese día. Revise el día y el mes."},
	"secure.wrong":     {"This is not the date of birth that we have on record.", "Esta no es la fecha de nacimiento que tenemos registrada."},
	"secure.tries":     {"You can try %d more times.", "Puede intentarlo %d veces más."},
	"secure.one_try":   {"You can try one more time.", "Puede intentarlo una vez más."},
	"secure.leave":     {"Close this page when you have read it. To read the message again, open the link again.", "Cierre esta página cuando termine de leer. Para leer el mensaje otra vez, abra de nuevo el enlace."},
	"locked.title":     {"This link is locked", "Este enlace está bloqueado"},
	"locked.what":      {"The date of birth did not match five times. Call us, and we will tell you what the message says.", "La fecha de nacimiento no coincidió cinco veces. Llámenos y le diremos qué dice el mensaje."},
	"gone.title":       {"This message is no longer here", "Este mensaje ya no está aquí"},
	"gone.what":        {"Messages are kept behind a link for a limited time only. Call us, and we will help you.", "Los mensajes se guardan detrás de un enlace solo por un tiempo. Llámenos y le ayudaremos."},
	"missing.title":    {"This link does not work", "Este enlace no funciona"},
	"missing.what":     {"Part of it may be missing. Open it from the message again, or copy all of it.", "Puede que le falte una parte. Ábralo otra vez desde el mensaje, o cópielo completo."},
	"refused.title":    {"Please open the link again", "Abra el enlace otra vez"},
	"refused.what":     {"The button was pressed on another website, so nothing was changed. Open the link from our message and press it there.", "El botón se pulsó en otro sitio web, así que nada cambió. Abra el enlace desde nuestro mensaje y púlselo allí."},
	"unreadable.title": {"We could not read that", "No pudimos leerlo"},
	"unreadable.what":  {"Nothing was changed. Open the link from our message again and press the button there.", "Nada cambió. Abra otra vez el enlace desde nuestro mensaje y pulse el botón allí."},
	"fault.title":      {"Something went wrong here", "Algo falló de nuestro lado"},
	"fault.what":       {"Please try again in a minute. If it happens again, call us.", "Inténtelo de nuevo en un minuto. Si vuelve a pasar, llámenos."},
	"month.1":          {"January", "enero"},
	"month.2":          {"February", "febrero"},
	"month.3":          {"March", "marzo"},
	"month.4":          {"April", "abril"},
	"month.5":          {"May", "mayo"},
	"month.6":          {"June", "junio"},
	"month.7":          {"July", "julio"},
	"month.8":          {"August", "agosto"},
	"month.9":          {"September", "septiembre"},
	"month.10":         {"October", "octubre"},
	"month.11":         {"November", "noviembre"},
	"month.12":         {"December", "diciembre"},
}
