package channelstest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"harmonize.care/heed/channels"
)

// patience bounds every wait for something that must happen.
const patience = 10 * time.Second

// Adapter holds an adapter to what channels.Adapter promises.
func Adapter(t *testing.T, newCase func(t *testing.T) Case) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Case)
	}{
		{"a message is taken once", takenOnce},
		{"attachments arrive as they are", attached},
		{"concurrent sends do not mix", doNotMix},
		{"a call that is over is not begun", notBegun},
		{"a provider that is down", down},
		{"a provider that goes down", goesDown},
		{"a lost answer can be looked up", lookedUp},
		{"a deadline ends a call that hangs", deadlineEnds},
		{"a cancellation ends a call that hangs", cancellationEnds},
		{"refusals leave nothing behind", nothingLeft},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newCase(t)) })
	}
	for _, tr := range Troubles {
		t.Run(tr.String(), func(t *testing.T) {
			c := newCase(t)
			c.can(t, tr)
			trouble(t, c, tr)
		})
	}
}

// can skips a test whose trouble the protocol does not know.
func (c Case) can(t *testing.T, tr Trouble) {
	if why, cannot := c.Cannot[tr]; cannot {
		t.Skip(why)
	}
}

// send sends under a context that ends in time.
func send(t *testing.T, c Case, m channels.Outgoing) (channels.Receipt, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return await(ctx, t, c, m)
}

// await sends, and fails the test when the adapter does not heed its context.
func await(ctx context.Context, t *testing.T, c Case, m channels.Outgoing) (r channels.Receipt, err error) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r, err = c.Adapter.Send(ctx, m)
	}()
	select {
	case <-done:
		return r, err
	case <-time.After(2 * patience):
		t.Fatal("the call does not end with its context")
		return channels.Receipt{}, nil
	}
}

// failure gives the send error of a failed send, and sees that it is one and that
// neither it nor what it wraps tells who was written to, or what.
func failure(t *testing.T, m channels.Outgoing, r channels.Receipt, err error) *channels.SendError {
	t.Helper()
	failed, ok := errors.AsType[*channels.SendError](err)
	if !ok || failed == nil {
		t.Fatalf("the error is %T %v, not a *channels.SendError", err, err)
	}
	if r != (channels.Receipt{}) {
		t.Errorf("a receipt came with an error: %+v", r)
	}
	if failed.Kind < channels.TryLater || failed.Kind > channels.OutcomeUnknown {
		t.Errorf("the kind %s is none of the set", failed.Kind)
	}
	secrets := []string{m.To, m.Text, m.Subject, m.HTML}
	if local, _, ok := strings.Cut(m.To, "@"); ok {
		secrets = append(secrets, local)
	} else {
		secrets = append(secrets, strings.TrimPrefix(m.To, "+"))
	}
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		for _, said := range []string{cause.Error(), fmt.Sprintf("%+v", cause), fmt.Sprintf("%#v", cause)} {
			for _, secret := range secrets {
				if secret != "" && strings.Contains(said, secret) {
					t.Errorf("the error tells %q: %s", secret, said)
				}
			}
		}
	}
	return failed
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// matches says whether the provider took just this message.
func matches(got Taken, m channels.Outgoing) bool {
	return got.To == m.To && got.Text == m.Text && (got.Attempt == 0 || got.Attempt == m.Attempt)
}

func takenOnce(t *testing.T, c Case) {
	m := c.Message(1)
	r, err := send(t, c, m)
	if err != nil {
		t.Fatal(err)
	}
	taken := c.Taken()
	if len(taken) != 1 || c.Calls() != 1 {
		t.Fatalf("the provider took %d messages in %d calls", len(taken), c.Calls())
	}
	if r.ProviderID == "" || r.ProviderID != taken[0].ProviderID || !matches(taken[0], m) {
		t.Errorf("sent %+v\ntaken %+v\nreceipt %+v", m, taken[0], r)
	}
}

// attached: files arrive to the byte, and what cannot be one is refused before the call.
func attached(t *testing.T, c Case) {
	m := c.Message(1)
	if m.Channel != channels.Email {
		t.Skip("only email carries attachments")
	}
	m.Attachments = []channels.Attachment{
		{Name: "appointment.ics", Type: "text/calendar", Content: []byte("BEGIN:VCALENDAR\r\nSUMMARY:Cita ñ\r\n.\r\nEND:VCALENDAR\r\n")},
		{Name: "all.bin", Type: "application/octet-stream", Content: []byte{0, 1, 2, 10, 13, 13, 10, 255}},
	}
	if _, err := send(t, c, m); err != nil {
		t.Fatal(err)
	}
	taken := c.Taken()
	if len(taken) != 1 || !matches(taken[0], m) || !reflect.DeepEqual(taken[0].Attachments, m.Attachments) {
		t.Fatalf("sent %+v\ntaken %+v", m, taken)
	}
	calls := c.Calls()
	m = c.Message(2)
	m.Attachments = []channels.Attachment{{Name: "x\r\nBcc: y", Type: "text/calendar", Content: []byte("x")}}
	r, err := send(t, c, m)
	if failed := failure(t, m, r, err); failed.Kind != channels.TryNever || c.Calls() != calls {
		t.Errorf("got %s: %v, in %d calls", failed.Kind, failed, c.Calls()-calls)
	}
}

func doNotMix(t *testing.T, c Case) {
	const many = 48
	var all sync.WaitGroup
	var ids [many]string
	for n := range many {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			r, err := c.Adapter.Send(ctx, c.Message(n+1))
			if err != nil {
				t.Errorf("message %d: %v", n+1, err)
			}
			ids[n] = r.ProviderID
		})
	}
	all.Wait()
	taken := c.Taken()
	if len(taken) != many || c.Calls() != many {
		t.Fatalf("the provider took %d messages in %d calls, of %d sent", len(taken), c.Calls(), many)
	}
	for n, id := range ids {
		at := slices.IndexFunc(taken, func(got Taken) bool { return got.ProviderID == id })
		if at < 0 || !matches(taken[at], c.Message(n+1)) {
			t.Errorf("message %d has the id %q of another, or of none", n+1, id)
		}
	}
}

func notBegun(t *testing.T, c Case) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := c.Message(1)
	r, err := await(ctx, t, c, m)
	if failed := failure(t, m, r, err); failed.Kind != channels.TryLater || !errors.Is(err, context.Canceled) {
		t.Errorf("got %s: %v", failed.Kind, failed)
	}
	if c.Calls() != 0 {
		t.Error("the provider was called")
	}
}

func down(t *testing.T, c Case) {
	c.Unplug()
	m := c.Message(1)
	r, err := send(t, c, m)
	if failed := failure(t, m, r, err); failed.Kind != channels.TryLater {
		t.Errorf("got %s: %v", failed.Kind, failed)
	}
}

// goesDown: a connection that was kept for the next message is closed under it.
// The message surely did not go out, but an adapter need not be able to tell.
func goesDown(t *testing.T, c Case) {
	if _, err := send(t, c, c.Message(1)); err != nil {
		t.Fatal(err)
	}
	c.Unplug()
	m := c.Message(2)
	r, err := send(t, c, m)
	if failed := failure(t, m, r, err); failed.Kind != channels.TryLater && failed.Kind != channels.OutcomeUnknown {
		t.Errorf("got %s: %v", failed.Kind, failed)
	}
	m = c.Message(3) // now there is no connection left
	r, err = send(t, c, m)
	if failed := failure(t, m, r, err); failed.Kind != channels.TryLater {
		t.Errorf("got %s: %v", failed.Kind, failed)
	}
}

// wanted is what an adapter must say to a trouble.
func (c Case) wanted(tr Trouble) channels.SendErrorKind {
	switch tr {
	case TooMany:
		return channels.TryLater
	case Refused:
		return c.Refusal
	}
	return channels.OutcomeUnknown
}

// trouble meets one trouble twice: over a new connection, and over one that is
// already in use, which is where transports like to send again by themselves.
func trouble(t *testing.T, c Case, tr Trouble) {
	for round := range 2 {
		if round == 1 {
			if _, err := send(t, c, c.Message(1)); err != nil {
				t.Fatal(err)
			}
		}
		calls, taken := c.Calls(), len(c.Taken())
		m := c.Troubled(tr, 2+round)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if tr == Hanging {
			ctx, cancel = untilTaken(ctx, c, cancel)
		}
		r, err := await(ctx, t, c, m)
		cancel()
		failed := failure(t, m, r, err)
		if failed.Kind != c.wanted(tr) {
			t.Errorf("round %d: got %s: %v; want %s", round, failed.Kind, failed, c.wanted(tr))
		}
		switch {
		case tr == TooMany && failed.RetryAfter != c.RetryAfter:
			t.Errorf("wait %s, want %s", failed.RetryAfter, c.RetryAfter)
		case tr == Refused && failed.Code != c.RefusalCode:
			t.Errorf("code %q, want %q", failed.Code, c.RefusalCode)
		}
		if n := c.Calls() - calls; n != 1 {
			t.Errorf("round %d: the provider was called %d times", round, n)
		}
		if n := len(c.Taken()) - taken; n != map[Trouble]int{Dropped: 1, Hanging: 1}[tr] {
			t.Errorf("round %d: the provider took %d", round, n)
		}
	}
}

// untilTaken gives a context that is cancelled as soon as the provider has taken
// one more message.
func untilTaken(parent context.Context, c Case, release context.CancelFunc) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	taken := len(c.Taken())
	var waiting sync.WaitGroup
	waiting.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for len(c.Taken()) == taken {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		cancel()
	})
	return ctx, func() { cancel(); waiting.Wait(); release() }
}

func cancellationEnds(t *testing.T, c Case) {
	c.can(t, Hanging)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	ctx, cancel = untilTaken(ctx, c, cancel)
	defer cancel()
	endsPromptly(ctx, t, c, context.Canceled)
}

func deadlineEnds(t *testing.T, c Case) {
	c.can(t, Hanging)
	// Long enough for the message to be taken on a busy machine.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	endsPromptly(ctx, t, c, context.DeadlineExceeded)
}

func endsPromptly(ctx context.Context, t *testing.T, c Case, why error) {
	m := c.Troubled(Hanging, 1)
	began := time.Now()
	r, err := await(ctx, t, c, m)
	if failed := failure(t, m, r, err); failed.Kind != channels.OutcomeUnknown || !errors.Is(err, why) {
		t.Errorf("got %s: %v, which is not %v", failed.Kind, failed, why)
	}
	if took := time.Since(began); took > patience {
		t.Errorf("the call went on for %s", took)
	}
	if c.Calls() != 1 {
		t.Errorf("the provider was called %d times", c.Calls())
	}
}

// lookedUp holds a Finder to its promise.
func lookedUp(t *testing.T, c Case) {
	finder, ok := c.Adapter.(channels.Finder)
	if !ok {
		t.Skip("this adapter finds nothing again")
	}
	c.can(t, Dropped)
	since := time.Now().Add(-2 * time.Second)
	other := c.Message(1)
	if _, err := send(t, c, other); err != nil {
		t.Fatal(err)
	}
	m := c.Troubled(Dropped, 2)
	if _, err := send(t, c, m); err == nil {
		t.Fatal("the answer was not lost")
	}
	found, err := finder.Find(t.Context(), m, since)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found[0].To != m.To || found[0].Body != m.Text || found[0].Created.Before(since) {
		t.Fatalf("found %+v", found)
	}
	if !slices.ContainsFunc(c.Taken(), func(got Taken) bool { return got.ProviderID == found[0].ProviderID && got.To == m.To }) {
		t.Errorf("found the id %q, which the provider did not give", found[0].ProviderID)
	}
	if found, err := finder.Find(t.Context(), m, time.Now().Add(time.Hour)); err != nil || len(found) != 0 {
		t.Errorf("found %+v, %v of times to come", found, err)
	}
	c.Unplug()
	if _, err := finder.Find(t.Context(), m, since); err == nil {
		t.Error("a provider that is down was taken for one that found nothing")
	} else if strings.Contains(err.Error(), strings.TrimPrefix(m.To, "+")) {
		t.Errorf("the error tells the address: %v", err)
	}
}

// nothingLeft: bodies that are not closed keep a connection and its goroutines each.
func nothingLeft(t *testing.T, c Case) {
	tr := TooMany
	if _, cannot := c.Cannot[tr]; cannot {
		tr = Refused
	}
	c.can(t, tr)
	refuse := func(n int) {
		m := c.Troubled(tr, n)
		r, err := send(t, c, m)
		_ = failure(t, m, r, err) // which kind it is, other tests look at
	}
	for n := range 10 {
		refuse(n + 1)
	}
	before := runtime.NumGoroutine()
	for n := range 150 {
		refuse(n + 11)
	}
	const slack = 20
	until(t, "the goroutines of 150 refused messages are gone", func() bool { return runtime.NumGoroutine() <= before+slack })
}
