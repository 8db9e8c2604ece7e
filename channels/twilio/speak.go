package twilio

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	// twiml: writes the verbs, so that every value is escaped as XML wants it.
	"github.com/twilio/twilio-go/twiml"

	"harmonize.care/heed/channels"
)

// maxTwiML is the most that Twilio takes, in characters.
const maxTwiML = 4000

// askedKey is the query parameter that says how often a key was asked for.
const askedKey = "asked"

// hiddenCallers are what Twilio gives in place of a number that the caller hides;
// the digits spell ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN, UNAVAILABLE and PRIVATE.
var hiddenCallers = map[string]bool{
	"266696687": true, "7378742833": true, "2562533": true, "8656696": true, "86282452253": true, "7748283": true,
}

// ReadCall reads Twilio's question what to say in a call: when it is answered,
// and after each time a key was asked for.
// https://www.twilio.com/docs/voice/twiml#request-parameters
func (a *Adapter) ReadCall(w channels.Webhook, now time.Time) (channels.Call, error) {
	form, err := a.open(w)
	if err != nil {
		return channels.Call{}, err
	}
	if form.Get("CallSid") == "" || form.Get("To") == "" {
		return channels.Call{}, errors.New("twilio: the webhook is not about a call")
	}
	c := channels.Call{
		ID: form.Get("CallSid"), Attempt: attemptOf(w.URL), Inbound: form.Get("Direction") == inbound, From: callerOf(form), To: form.Get("To"),
		Asked: int(min(numberIn(w.URL, askedKey), 99)), Key: form.Get("Digits"), At: now,
	}
	switch who := form.Get("AnsweredBy"); {
	case who == "human":
		c.AnsweredBy = channels.Human
	case strings.HasPrefix(who, "machine"):
		c.AnsweredBy = channels.Machine
	case who == "fax":
		c.AnsweredBy = channels.Fax
	}
	return c, nil
}

// callerOf gives the caller's number, or "" when there is none that could be
// called: SIP addresses and words such as "anonymous" are none either.
func callerOf(form url.Values) string {
	from := form.Get("From")
	digits, plus := strings.CutPrefix(from, "+")
	if !plus || !isNumber(from) || hiddenCallers[digits] {
		return ""
	}
	return from
}

// speakers are Twilio's names of the languages, and a voice of each that ships
// with every account. https://www.twilio.com/docs/voice/twiml/say
var speakers = map[string]struct{ language, voice string }{
	"en": {"en-US", "Polly.Joanna"},
	"es": {"es-US", "Polly.Lupe"},
}

// Speak writes a script as TwiML. The keys count while the words are spoken, so
// the words stand inside <Gather>; when it is over Twilio asks again, key or none.
// https://www.twilio.com/docs/voice/twiml/gather
func (a *Adapter) Speak(s channels.Script) ([]byte, error) {
	var said []twiml.Element
	for _, line := range s.Lines {
		by, ok := speakers[line.Language]
		if !ok {
			return nil, errors.New("twilio: there is no voice for a line's language")
		}
		said = append(said, &twiml.VoiceSay{Message: line.Text, Language: by.language, Voice: by.voice})
	}
	verbs := append(said, &twiml.VoiceHangup{})
	if s.Ask > 0 {
		if a.voice == nil {
			return nil, errors.New("twilio: there is no URL to send keys to")
		}
		verbs = []twiml.Element{&twiml.VoiceGather{
			Input: "dtmf", NumDigits: "1", Timeout: "5", ActionOnEmptyResult: "true", Method: "POST", Action: a.keysURL(s), InnerElements: said,
		}}
	}
	doc, response := twiml.CreateDocument()
	twiml.AddAllVerbs(response, verbs)
	for _, verb := range response.ChildElements() {
		verb.SortAttrs() // the library writes them in the order of a map
		for _, inner := range verb.ChildElements() {
			inner.SortAttrs()
		}
	}
	text, err := twiml.ToXML(doc)
	if err == nil && len([]rune(text)) > maxTwiML {
		err = errors.New("twilio: the script is longer than Twilio takes")
	}
	return []byte(text), err
}

func (a *Adapter) keysURL(s channels.Script) string {
	u := *a.voice
	query := u.Query()
	if s.Attempt != 0 {
		query.Set(attemptKey, strconv.FormatInt(s.Attempt, 10))
	}
	query.Set(askedKey, strconv.Itoa(s.Ask))
	u.RawQuery = query.Encode()
	return u.String()
}
