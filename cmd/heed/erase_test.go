package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"harmonize.care/heed/channels"
)

// TestNothingOfAnErasedPersonStays fills everything that is kept of a patient,
// erases the patient, and reads every column of every table: none of the person's
// values stands there in clear, and no call gives one.
func TestNothingOfAnErasedPersonStays(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		nothingStays(t, "sqlite:"+filepath.Join(t.TempDir(), "heed.db"), `SELECT name FROM sqlite_master WHERE type = 'table'`)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		nothingStays(t, emptyPostgres(t), `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`)
	})
}

const (
	erasedRef   = "MRN-4711-93"
	erasedPhone = "+13035550151"
)

func nothingStays(t *testing.T, database, tables string) {
	h := start(t, map[string]string{"database.url": database})
	record := map[string]any{
		"given_name": "Xiomara", "family_name": "Okonkwo", "birth_date": "1983-07-19", "postal_code": "96799", "time_zone": "Pacific/Pago_Pago",
		"addresses": []map[string]any{{"kind": "phone", "value": erasedPhone}, {"kind": "email", "value": "xio@patients.example"}},
	}
	path := "/v1/patients/" + erasedRef
	key := func(name string) []string { return []string{"Idempotency-Key", name + "-" + erasedRef} }
	h.ok("PUT", path, record, key("put")...)
	h.ok("PUT", path, record, key("unchanged")...) // a call that commits nothing keeps its answer too
	h.ok("POST", path+"/preferences", map[string]any{
		"source": "staff", "unencrypted_ok": true, "evidence": map[string]any{"who": "Dana Whitlock"}, "choices": []map[string]any{{"topic": "newsletter", "channel": "email", "choice": "opt_in"}},
	}, key("preferences")...)
	h.ok("PUT", path+"/confidential-communication", map[string]any{
		"only": []map[string]any{{"channel": "sms", "address": "+13035550177"}, {"channel": "sms", "address": erasedPhone}}, "discreet": true,
	}, key("confidential")...)
	h.ok("POST", path+"/restrictions", map[string]any{"category": "survey", "note": "not to Dana Whitlock"}, key("restriction")...)
	h.ok("POST", "/v1/stops", map[string]any{"number": erasedPhone, "program": "marketing"}, key("stop")...)
	message := reminder(erasedRef)
	message["reference"], message["variables"] = "APPT-8842-Z", map[string]string{"appointment_time": "2037-01-07T10:30:00-07:00", "location": "12 Quillfeather Lane"}
	h.call("POST", "/v1/messages", []any{message}, key("send")...) // a list is answered by a list
	sent := h.ok("GET", path+"/messages", nil)["messages"].([]any)[0].(map[string]any)["id"].(string)
	h.settles(sent, "sent", "delivered")
	h.texts(erasedPhone, channels.Care, "my sister Quenby says hello")
	eventually(t, "a task", func() bool { return len(h.ok("GET", "/v1/tasks?patient="+erasedRef, nil)["tasks"].([]any)) > 0 })
	task := h.ok("GET", "/v1/tasks?patient="+erasedRef, nil)["tasks"].([]any)[0].(map[string]any)["id"].(string)
	later := reminder(erasedRef)
	later["send_at"], later["reference"] = time.Now().Add(48*time.Hour).Format(time.RFC3339), "APPT-8842-Z"
	waits := h.send(later)

	before := dump(t, h, tables)
	if !bytes.Contains(before["patients.ref"], []byte(erasedRef)) || !bytes.Contains(before["messages.reference"], []byte("APPT-8842-Z")) {
		t.Fatal("what is read here is not what is kept")
	}
	h.ok("DELETE", path, map[string]any{"reason": "request"}, key("erase")...)

	kept := dump(t, h, tables)
	for _, value := range []string{
		erasedRef, "Xiomara", "Okonkwo", "1983-07-19", "96799", "Pago_Pago", "3035550151", "3035550177", "xio@patients", "Whitlock",
		"APPT-8842-Z", "Quillfeather", "Quenby",
	} {
		for column, text := range kept {
			if bytes.Contains(bytes.ToLower(text), bytes.ToLower([]byte(value))) {
				t.Errorf("%s still holds %q", column, value)
			}
		}
	}
	h.holdsNothing(path, record, sent, waits, task, key)
}

// holdsNothing asks every call that may have told of somebody erased.
func (h *heedUnderTest) holdsNothing(path string, record map[string]any, sent, waits, task string, key func(string) []string) {
	h.t.Helper()
	for _, name := range []string{"put", "unchanged", "new"} {
		if a := h.call("PUT", path, record, key(name)...); a.status != http.StatusConflict || a.json["code"] != "erased" {
			h.t.Errorf("a PUT on an erased id, with the key of %s: %d %s", name, a.status, a.raw)
		}
	}
	if a := h.call("DELETE", path, map[string]any{"reason": "request"}, key("erase")...); a.status != http.StatusNoContent {
		h.t.Errorf("the erasure once more: %d %s", a.status, a.raw)
	}
	for _, call := range []answer{
		h.call("GET", path, nil), h.call("GET", path+"/preferences", nil), h.call("GET", path+"/ledger", nil), h.call("GET", path+"/messages", nil),
		h.call("GET", path+"/export", nil), h.call("GET", path+"/disclosures", nil),
		h.call("GET", "/v1/messages/"+sent, nil), h.call("GET", "/v1/messages/"+waits, nil), h.call("GET", "/v1/tasks", nil),
		h.call("POST", "/v1/tasks/"+task+"/done", map[string]any{"outcome": "removed"}), h.call("GET", "/v1/tasks?done=true", nil),
	} {
		if call.status != http.StatusOK {
			h.t.Errorf("%d %s", call.status, call.raw)
		}
		for _, value := range []string{"3035550151", "3035550177", "Whitlock", "APPT-8842-Z", "Quenby", "Quillfeather", "Xiomara"} {
			if bytes.Contains(call.raw, []byte(value)) {
				h.t.Errorf("an answer still tells %q: %s", value, call.raw)
			}
		}
	}
	for _, id := range []string{sent, waits} {
		if patient := h.ok("GET", "/v1/messages/"+id, nil)["patient"]; patient != nil {
			h.t.Errorf("a message still names its patient: %v", patient)
		}
	}
	n, _ := strconv.ParseInt(sent, 10, 64)
	decisions, err := h.server.db.Decisions(h.t.Context(), n, 0, 10)
	if err != nil || len(decisions) == 0 || decisions[0].Body != nil || decisions[0].Outcome != "send" {
		h.t.Fatalf("what is left of the decisions: %+v, %v", decisions, err)
	}
	if again, err := h.server.replayOne(h.t.Context(), decisions[0]); err != nil || !again.Erased || again.Decision.Outcome != "send" || again.Note == "" {
		h.t.Errorf("made again: %+v, %v", again, err)
	}
	if found, err := h.server.db.Verify(h.t.Context()); err != nil || len(found.Faults) > 0 {
		h.t.Errorf("%+v, %v", found, err)
	}
}

// dump reads every column of every table, as the database writes it.
func dump(t *testing.T, h *heedUnderTest, tables string) map[string][]byte {
	t.Helper()
	db, _ := h.server.db.SQL()
	names := column(t, h, tables)
	if len(names) < 15 {
		t.Fatalf("only %d tables", len(names))
	}
	kept := map[string][]byte{}
	for _, table := range names {
		if err := readTable(db, table, kept); err != nil {
			t.Fatal(err)
		}
	}
	return kept
}

func readTable(db *sql.DB, table string, kept map[string][]byte) error {
	list, err := db.Query(fmt.Sprintf("SELECT * FROM %q", table))
	if err != nil {
		return err
	}
	defer list.Close()
	columns, err := list.Columns()
	if err != nil {
		return err
	}
	for list.Next() {
		row := make([]any, len(columns))
		for i := range row {
			row[i] = new(any)
		}
		if err := list.Scan(row...); err != nil {
			return err
		}
		for i, name := range columns {
			value := *row[i].(*any)
			text, isBytes := value.([]byte)
			if !isBytes {
				text = fmt.Append(nil, value)
			}
			at := table + "." + name
			kept[at] = append(append(kept[at], text...), '\n')
		}
	}
	return list.Err()
}

func column(t *testing.T, h *heedUnderTest, query string) []string {
	t.Helper()
	db, _ := h.server.db.SQL()
	list, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer list.Close()
	var names []string
	for list.Next() {
		var name string
		if err := list.Scan(&name); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(name, "sqlite_") {
			names = append(names, name)
		}
	}
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}
