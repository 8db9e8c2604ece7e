package sandbox

import (
	"net/http"
	"strconv"
)

// Handler serves the carriers' APIs and the page. It may be mounted under any
// prefix that is stripped before it: the page uses relative links alone.
func (s *Sandbox) Handler() http.Handler {
	mux := http.NewServeMux()
	account := "/" + apiVersion + "/Accounts/{account}/"
	mux.HandleFunc("POST "+account+"Messages.json", s.twilio(s.createMessage))
	mux.HandleFunc("GET "+account+"Messages.json", s.twilio(s.listMessages))
	mux.HandleFunc("GET "+account+"Messages/{message}", s.twilio(s.fetchMessage))
	mux.HandleFunc("POST "+account+"Calls.json", s.twilio(s.createCall))
	mux.HandleFunc("GET "+account+"Calls.json", s.twilio(s.listCalls))
	mux.HandleFunc("POST /v3/mail/send", s.sendMail)
	mux.HandleFunc("POST /v1/Consents/Bulk", s.twilioAccount(s.setConsents))
	mux.HandleFunc("GET /v3/asm/groups/{group}", s.sendGrid(s.showGroup))
	mux.HandleFunc("GET /v3/asm/groups/{group}/suppressions", s.sendGrid(s.listGroup))
	mux.HandleFunc("POST /v3/asm/groups/{group}/suppressions", s.sendGrid(s.addToGroup))
	mux.HandleFunc("DELETE /v3/asm/groups/{group}/suppressions/{email}", s.sendGrid(s.removeFromGroup))

	mux.HandleFunc("GET /{$}", s.showPage)
	mux.HandleFunc("GET /mail/{id}", s.showMail)
	mux.HandleFunc("GET /mail/{id}/file/{n}", s.showFile)
	mux.HandleFunc("GET /version", s.showVersion)
	mux.HandleFunc("GET /style.css", asset("web/style.css"))
	mux.HandleFunc("GET /live.js", asset("web/live.js"))

	// A page elsewhere must not be able to press these buttons.
	own := http.NewCrossOriginProtection()
	for path, action := range map[string]func(*http.Request) (fragment string, ok bool){
		"POST /reply":    s.doReply,
		"POST /press":    s.doPress,
		"POST /take":     s.doTake,
		"POST /hangup":   s.doHangUp,
		"POST /phone":    s.doPhone,
		"POST /call":     s.doCall,
		"POST /event":    s.doEvent,
		"POST /oneclick": s.doOneClick,
		"POST /clock":    s.doClock,
		"POST /outage":   s.doOutage,
		"POST /optout":   s.doOptOut,
	} {
		mux.Handle(path, own.Handler(pageAction(action)))
	}
	return mux
}

// pageAction does what a form asks and leads back to the page.
func pageAction(do func(*http.Request) (string, bool)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			http.Error(w, "the form cannot be read", http.StatusBadRequest)
			return
		}
		fragment, ok := do(r)
		if !ok {
			http.Error(w, "the form asks for something the sandbox does not have; go back and try again", http.StatusUnprocessableEntity)
			return
		}
		// Relative to the form's own address, so that a prefix is kept.
		w.Header().Set("Location", "./#"+fragment)
		w.WriteHeader(http.StatusSeeOther)
	})
}

// showVersion gives a number that moves with every change, for the live view.
func (s *Sandbox) showVersion(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	version := s.changes
	s.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte(strconv.FormatUint(version, 10)))
}
