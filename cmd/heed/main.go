// Command heed is the consent and communication-preference gateway.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // a host without a time-zone database must not send at night
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

// usageError is a mistake in the command's own words.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand(os.Stdin, os.Stdout, os.Stderr).root().ExecuteContext(ctx)
	stop()
	os.Exit(exitCode(err))
}

func exitCode(err error) int {
	var wrong usageError
	switch {
	case err == nil:
		return done
	case errors.Is(err, errRefused):
		return refused
	case errors.As(err, &wrong):
		fmt.Fprintln(os.Stderr, "heed:", err)
		return usage
	}
	fmt.Fprintln(os.Stderr, "heed:", err)
	return failed
}
