package gateway

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPayloadHoldsWhatTheStandardAsksFor(t *testing.T) {
	h := Happening{ID: 17, At: time.Date(2026, 11, 25, 8, 0, 0, 0, time.FixedZone("", -7*3600)), Type: MessageMoved(Delivered), Patient: 99, Data: EventData{Message: "5", Status: "delivered"}}
	got, err := h.Payload()
	want := `{"type":"message.delivered","timestamp":"2026-11-25T15:00:00Z","data":{"event":"17","message":"5","status":"delivered"}}`
	if err != nil || string(got) != want {
		t.Errorf("%s %v", got, err)
	}
}

func TestEveryStatusHasAType(t *testing.T) {
	types := EventTypes()
	for s := Waiting; s <= Canceled; s++ {
		if !slices.Contains(types, MessageMoved(s)) {
			t.Errorf("%v", s)
		}
	}
	if slices.Contains(types, Ping) {
		t.Error("a ping can be asked for")
	}
}

func TestPlainCode(t *testing.T) {
	for code, want := range map[string]string{
		"quiet_hours": "quiet_hours", "30003": "30003", "5.1.1": "5.1.1", "": "",
		"550 mailbox ana@patients.example": "", "+13035550151": "", "13035550151": "", "3035550": "", "x-3035550151": "", strings.Repeat("a", 65): "",
	} {
		if got := PlainCode(code); got != want {
			t.Errorf("%q gave %q", code, got)
		}
	}
}

func TestEndpointCheck(t *testing.T) {
	for url, good := range map[string]bool{
		"https://ehr.example/heed": true, "https://ehr.example:8443/a?token=b": true, "http://localhost:9000/x": true, "http://127.0.0.1:9000": true, "http://[::1]:9000": true,
		"http://ehr.example/heed": false, "http://10.0.0.1/": false, "http://localhost.ehr.example/": false, "http://0.0.0.0/": false, "ftp://ehr.example": false,
		"https://": false, "": false, "ehr.example": false, "https://user:pass@ehr.example/": false, "https://ehr.example/#x": false, "https://ehr.example/\r\nX: y": false,
		"https://ehr.example/" + strings.Repeat("x", 2000): false,
	} {
		e := Endpoint{To: EndpointTo{URL: url}}
		err := e.Check()
		var wrong Invalid
		if (err == nil) != good || err != nil && !errors.As(err, &wrong) {
			t.Errorf("%q: %v", url, err)
		}
		if err != nil && len(url) > 8 && strings.Contains(err.Error(), url) {
			t.Errorf("%q: the error repeats it", url)
		}
	}
	e := Endpoint{To: EndpointTo{URL: "https://ehr.example"}, Types: []EventType{"message.delivered", "message.read"}}
	if e.Check() == nil {
		t.Error("a type nobody sends was taken")
	}
}

func TestRotationKeepsTheSecretBeforeForADay(t *testing.T) {
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	e := Endpoint{To: EndpointTo{Secrets: []Secret{{Text: "a"}}}}
	if err := e.Rotate("b", now); err != nil {
		t.Fatal(err)
	}
	if err := e.Rotate("c", now.Add(12*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]string{0: "c b a", 24*time.Hour - 1: "c b a", 24 * time.Hour: "c b", 36*time.Hour - 1: "c b", 36 * time.Hour: "c"} {
		if got := strings.Join(e.Signing(now.Add(after)), " "); got != want {
			t.Errorf("after %v: %s", after, got)
		}
	}
	for range maxSecrets {
		_ = e.Rotate("x", now)
	}
	if n := len(e.To.Secrets); n != maxSecrets {
		t.Errorf("%d secrets", n)
	}
}

func TestRetriesFollowTheStandard(t *testing.T) {
	total, tries := time.Duration(0), 1
	for {
		wait, again := RetryAfter(tries)
		if !again {
			break
		}
		total += wait
		tries++
	}
	if tries != 10 || total != 75*time.Hour+35*time.Minute+5*time.Second {
		t.Errorf("%d tries within %v", tries, total)
	}
}

func TestWants(t *testing.T) {
	e := Endpoint{Types: []EventType{TaskOpened}}
	if !e.Wants(TaskOpened) || e.Wants(TaskClosed) || !(&Endpoint{}).Wants(TaskClosed) {
		t.Error("types are not matched")
	}
	e.Disable(EndpointGone, time.Unix(1, 0))
	e.Disable(DisabledByStaff, time.Unix(2, 0))
	if e.Wants(TaskOpened) || e.Why != EndpointGone || e.Disabled != time.Unix(1, 0) {
		t.Error("disabled is not disabled")
	}
	e.Enable()
	if !e.Wants(TaskOpened) {
		t.Error("enabled is not enabled")
	}
}
