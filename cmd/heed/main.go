// Command heed is the consent and communication-preference gateway.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
	_ "time/tzdata" // a host without a time-zone database must not send at night

	"harmonize.care/heed/config"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/api"
	"harmonize.care/heed/gateway/wording"
	"harmonize.care/heed/templates"
)

// What a command ends with.
const (
	done    = 0
	failed  = 1
	usage   = 2
	refused = 3 // a rule said no
)

// errRefused ends a command with 3: what was asked for is against a rule. It has
// been told already.
var errRefused = errors.New("refused by a rule")

// ruleError ends a command with 3 too, and is told like any other error.
type ruleError struct{ error }

func (r ruleError) Unwrap() error { return r.error }

// usageError is a mistake in the command's own words.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// garbage is after how much growth of what is in use, in percent, it is collected. What is
// in use is small, 20 to 40 MB: at Go's own 100 a campaign spends as much time on collecting
// as on its messages. More than this, and it would take over 128 MB.
const garbage = 175

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := newCommand(os.Stdin, os.Stdout, os.Stderr).run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run carries one call out, tells what was wrong with it, and gives what it ends with.
func (c *command) run(ctx context.Context, args []string) int {
	root := c.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	// A mistake in the flags may come before --json is read.
	c.asJSON = c.asJSON || slices.Contains(args, "--json")
	code := failed
	var wrong usageError
	var now gateway.NotNow
	var rule ruleError
	switch {
	case err == nil:
		return done
	case errors.Is(err, errRefused):
		return refused
	case errors.As(err, &now):
		code = refused
	case errors.As(err, &rule):
		code = refused
	case errors.As(err, &wrong):
		code = usage
	}
	if !c.asJSON {
		fmt.Fprintln(c.err, "heed:", err)
		return code
	}
	enc := json.NewEncoder(c.err)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(problemOf(err, code)) // nobody is left to tell
	return code
}

// cliProblem is RFC 9457's problem document, without a status: this is no HTTP.
type cliProblem struct {
	Type   string      `json:"type"`
	Title  string      `json:"title"`
	Code   string      `json:"code"`
	Detail string      `json:"detail"`
	Errors []api.Field `json:"errors,omitempty"`
}

func problemOf(err error, code int) cliProblem {
	p := cliProblem{Type: "about:blank", Title: "Failed", Code: "failed", Detail: err.Error()}
	switch code {
	case usage:
		p.Title, p.Code = "Mistake in the call", "usage"
	case refused:
		p.Title, p.Code = "Refused by a rule", "refused"
	}
	var wrong gateway.Invalid
	var settings config.Mistakes
	var now gateway.NotNow
	var found templates.Findings
	switch {
	case errors.As(err, &now):
		p.Title, p.Code = "Refused", now.Code
	case errors.As(err, &found):
		p.Code = "template_refused"
		for _, f := range found {
			p.Errors = append(p.Errors, api.Field{Location: f.Where, Message: string(f.Rule) + ": " + f.Problem})
		}
	case errors.Is(err, wording.ErrSamePerson):
		p.Code = "same_person"
	case errors.Is(err, wording.ErrOlder):
		p.Code = "superseded"
	case errors.As(err, &wrong):
		for _, m := range wrong {
			p.Errors = append(p.Errors, api.Field{Location: m.Field, Message: m.Problem})
		}
	case errors.As(err, &settings):
		for _, m := range settings {
			p.Errors = append(p.Errors, api.Field{Location: m.Key, Message: m.Problem})
		}
	}
	return p
}
