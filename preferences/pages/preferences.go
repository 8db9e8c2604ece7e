package pages

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/intake"
	"harmonize.care/heed/preferences"
	"harmonize.care/heed/preferences/policy"
)

// preferences shows what is on and what is stopped, or one of the pages beside it.
// Looking changes nothing: mail scanners open every link they find.
func (p *Pages) preferences(w http.ResponseWriter, r *http.Request) {
	v, ok := p.visit(w, r)
	if !ok {
		return
	}
	switch view := r.URL.Query().Get("view"); {
	case view == "private":
		p.showPrivate(w, http.StatusOK, v, privateForm{}, problem{})
	case view == "sent" && v.proved:
		p.showSent(w, r, v)
	case view == "sent":
		p.codeFirst(w, v, say(v.lang, "code.why_sent"))
	case view == "code" && !v.proved:
		p.showCode(w, http.StatusOK, v, problem{})
	default:
		p.showPreferences(w, v, "")
	}
}

// change takes one form of the page. Whatever it tightens takes effect before it is
// answered; whatever it loosens needs the proof.
func (p *Pages) change(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := outlast(r.Context())
	defer cancel()
	r = r.WithContext(ctx)
	v, ok := p.visit(w, r)
	if !ok {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		p.notice(w, http.StatusBadRequest, v.lang, "unreadable")
		return
	}
	switch do := r.PostFormValue("do"); {
	case r.PostForm.Has("stop"):
		p.stop(w, r, v)
	case do == "topics":
		p.changeTopics(w, r, v)
	case do == "care":
		p.changeCare(w, r, v)
	case do == "private":
		p.askPrivate(w, r, v)
	case do == "data":
		p.askData(w, r, v)
	case do == "code":
		p.sendCode(w, r, v)
	case do == "prove":
		p.takeCode(w, r, v)
	case do == "leave":
		p.leave(w, v)
	default:
		p.notice(w, http.StatusBadRequest, v.lang, "unreadable")
	}
}

// visit reads the link and the proof. When it gives false, the answer has been written.
func (p *Pages) visit(w http.ResponseWriter, r *http.Request) (*visit, bool) {
	token := r.PathValue("token")
	patient, address, err := p.Links.ReadPreferences(token)
	if err != nil {
		p.missing(w, r)
		return nil, false
	}
	snapshot, lang, ok := p.person(w, r, patient)
	if !ok {
		return nil, false
	}
	v := &visit{snapshot: snapshot, lang: lang, token: token, address: address}
	p.prove(r, v)
	return v, true
}

// stop stops all marketing, or everything that is not essential, in one press.
func (p *Pages) stop(w http.ResponseWriter, r *http.Request, v *visit) {
	topic := r.PostFormValue("stop")
	if topic != preferences.TopicMarketing && topic != preferences.TopicNonEssential {
		p.notice(w, http.StatusBadRequest, v.lang, "unreadable")
		return
	}
	if !stopped(v.snapshot, p.Policy, topic, 0) {
		if err := p.Intake.Chosen(r.Context(), actor, v.snapshot.Patient, []intake.Choice{{Topic: topic}}, p.evidence(v)); err != nil {
			p.fault(w, r, err)
			return
		}
	}
	p.changed(w, r, v, say(v.lang, "preferences.done", p.topicWords(v.lang, topic)))
}

// changed shows the page as it is now, with what was done.
func (p *Pages) changed(w http.ResponseWriter, r *http.Request, v *visit, done string) {
	if err := p.again(r.Context(), v); err != nil {
		p.fault(w, r, err)
		return
	}
	p.showPreferences(w, v, done)
}

func (p *Pages) askData(w http.ResponseWriter, r *http.Request, v *visit) {
	if err := p.Intake.RequestData(r.Context(), actor, v.snapshot.Patient, v.proved); err != nil {
		p.fault(w, r, err)
		return
	}
	p.showPreferences(w, v, say(v.lang, "data.done"))
}

// choices is what the preference page shows.
type choices struct {
	Done         string // what was just done
	Problem      problem
	Proved       bool
	Until        string // when the proof ends, by the patient's clock
	Closed       string // why no code can be sent; "": one can
	Topics       []topicState
	AnyOn        bool // some topic can be changed here and now
	NoMarketing  bool
	NoExtras     bool
	Carrier      []string // how to lift each stop
	Care         []careState
	Reached      bool // some essential message comes by itself
	Ranks        []int
	Confidential bool
	Discreet     bool
}

func (p *Pages) showPreferences(w http.ResponseWriter, v *visit, done string) {
	p.preferencesPage(w, http.StatusOK, v, done, problem{})
}

func (p *Pages) preferencesPage(w http.ResponseWriter, status int, v *visit, done string, wrong problem) {
	f := p.frame(v.lang, say(v.lang, "preferences.title"))
	f.Wrong = wrong.Text != ""
	c := choices{
		Done: done, Problem: wrong, Proved: v.proved,
		Topics:       p.topics(v),
		NoMarketing:  stopped(v.snapshot, p.Policy, preferences.TopicMarketing, 0),
		NoExtras:     stopped(v.snapshot, p.Policy, preferences.TopicNonEssential, 0),
		Carrier:      p.carrier(v.lang, v.snapshot),
		Care:         p.careStates(v),
		Confidential: v.tellsInstruction(),
		Discreet:     v.tellsInstruction() && v.snapshot.Confidential.Discreet,
	}
	for _, topic := range c.Topics {
		for _, way := range topic.Ways {
			c.AnyOn = c.AnyOn || way.On || way.Can && v.proved
		}
	}
	for i, way := range c.Care {
		c.Reached = c.Reached || way.On
		c.Ranks = append(c.Ranks, i+1)
	}
	if v.proved {
		c.Until = clock(v.lang, v.until.In(p.zone(v.snapshot)))
	} else if _, refused := p.codeWay(v); refused != "" {
		c.Closed = say(v.lang, closedKey(refused))
	}
	f.Page = c
	p.show(w, status, "preferences", f)
}

// tellsInstruction: that a confidential communication instruction is in force is told
// with a proof alone. A link lies for years in mailboxes that others read, perhaps in the
// very one that the patient asked us not to use. 45 CFR 164.522(b).
func (v *visit) tellsInstruction() bool { return v.proved && v.snapshot.Confidential != nil }

// carrier says, for each program that one of the patient's phones stopped, how to
// lift it: only a START from that phone does. 47 CFR 64.1200(a)(10). No number of
// the patient is shown, and the word may have been another holder's.
func (p *Pages) carrier(lang string, snapshot *preferences.Snapshot) []string {
	var stops channels.ProgramSet
	for _, a := range snapshot.Addresses {
		if a.OnRecord && a.Kind == channels.Phone {
			stops |= a.Stops
		}
	}
	var list []string
	for _, program := range stops.List() {
		about := say(lang, "program."+program.String())
		if from := p.Dispatcher.Senders[program]; from != "" {
			list = append(list, say(lang, "carrier.lift", about, spoken(from)))
		} else {
			list = append(list, say(lang, "carrier.from", about))
		}
	}
	return list
}

// careState is a channel and how essential messages come by it.
type careState struct {
	Name, Value string
	Rank        int
	On          bool // some essential message comes this way now
	Declined    bool
}

// careStates lists the channels by which essential messages of the care program may
// come, in the patient's own order. One that an address lacks for, or that a stop or
// an instruction closes, is neither on nor declined: it is not on the page.
func (p *Pages) careStates(v *visit) []careState {
	open := p.careChannels(v.snapshot)
	var list []careState
	for _, ch := range append(slices.Clone(v.snapshot.Care.Order), channels.SMS, channels.Email, channels.Voice) {
		name := ch.String()
		if slices.ContainsFunc(list, func(c careState) bool { return c.Value == name }) {
			continue
		}
		on, declined := slices.Contains(open, ch), slices.Contains(v.snapshot.Care.Declined, ch)
		if on || declined {
			list = append(list, careState{Name: say(v.lang, "channel."+name), Value: name, Rank: len(list) + 1, On: on, Declined: declined})
		}
	}
	return list
}

// careChannels lists the channels by which some message of the care program comes now.
func (p *Pages) careChannels(snapshot *preferences.Snapshot) []channels.Channel {
	open := map[channels.Channel]bool{}
	for name := range p.Policy.File.Categories {
		c, ok := p.Policy.Category(name)
		if !ok || c.Class != policy.Essential || c.Program != channels.Care {
			continue
		}
		for _, ch := range c.Channels {
			outcome, _, _ := p.Policy.Screen(snapshot, p.question(name, ch))
			open[ch] = open[ch] || outcome == policy.Send || outcome == policy.Defer
		}
	}
	var list []channels.Channel
	for _, ch := range channels.Channels {
		if open[ch] {
			list = append(list, ch)
		}
	}
	return list
}

// changeCare declines channels, and with a proof also takes them back and puts them
// in order. Another order sends the same words to another place: it is not only tighter.
func (p *Pages) changeCare(w http.ResponseWriter, r *http.Request, v *visit) {
	was, on := channelsOf(r.PostForm["was"]), channelsOf(r.PostForm["on"])
	in := intake.Care{Decline: without(was, on), Restore: without(on, was), Evidence: p.evidence(v)}
	done := say(v.lang, "care.done")
	if v.proved {
		in.Order = p.careOrder(r, v)
	} else if len(in.Restore) > 0 {
		in.Restore, done = nil, ""
	}
	err := p.Intake.ChangeCare(r.Context(), actor, v.snapshot.Patient, in)
	var wrong gateway.Invalid
	switch {
	case errors.As(err, &wrong):
		p.preferencesPage(w, http.StatusUnprocessableEntity, v, "", problem{Text: say(v.lang, "care.one_stays"), Field: "care"})
	case err != nil:
		p.fault(w, r, err)
	case done == "":
		p.needsProof(w, r, v)
	default:
		p.changed(w, r, v, done)
	}
}

// careOrder reads the rank of each channel; what ties stands as it stood.
func (p *Pages) careOrder(r *http.Request, v *visit) []channels.Channel {
	list := p.careStates(v)
	before := valuesOf(list)
	for i := range list {
		if rank, ok := number(r.PostFormValue("rank_"+list[i].Value), 1, 1, 9); ok {
			list[i].Rank = rank
		}
	}
	slices.SortStableFunc(list, func(a, b careState) int { return a.Rank - b.Rank })
	names := valuesOf(list)
	if slices.Equal(names, before) {
		return nil
	}
	order := channelsOf(names)
	for _, ch := range v.snapshot.Care.Order { // what is not on the page keeps its place behind
		if !slices.Contains(order, ch) {
			order = append(order, ch)
		}
	}
	return order
}

func valuesOf(list []careState) []string {
	var names []string
	for _, c := range list {
		names = append(names, c.Value)
	}
	return names
}

// needsProof shows the page with what was not done for want of a proof. What the same
// form tightened is in force.
func (p *Pages) needsProof(w http.ResponseWriter, r *http.Request, v *visit) {
	if err := p.again(r.Context(), v); err != nil {
		p.fault(w, r, err)
		return
	}
	p.preferencesPage(w, http.StatusForbidden, v, "", problem{Text: say(v.lang, "proof.needed"), Field: "proof"})
}

// channelsOf reads channels by their names; others are passed over.
func channelsOf(names []string) []channels.Channel {
	var list []channels.Channel
	for _, name := range names {
		if ch, err := channels.ParseChannel(strings.TrimSpace(name)); err == nil && !slices.Contains(list, ch) {
			list = append(list, ch)
		}
	}
	return list
}

func without[T comparable](list, taken []T) []T {
	var left []T
	for _, one := range list {
		if !slices.Contains(taken, one) {
			left = append(left, one)
		}
	}
	return left
}
