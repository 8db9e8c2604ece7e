package main

import (
	"strings"
	"testing"

	"harmonize.care/heed/channels"
)

// byMail is a reminder by email, for an appointment.
func byMail(patient, reference, at string) map[string]any {
	m := reminder(patient)
	m["channels"], m["reference"] = []string{"email"}, reference
	m["variables"] = map[string]string{"appointment_time": at, "location": "12 Main Street"}
	return m
}

// field gives one line of a calendar file.
func field(file []byte, name string) string {
	for line := range strings.SplitSeq(string(file), "\r\n") {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return value
		}
	}
	return ""
}

// The mail of an appointment carries a calendar file, and the mail of its change the
// same entry anew.
func TestCalendarGoesWithAppointmentMail(t *testing.T) {
	h := start(t, map[string]string{"providers.sendgrid.agreement": "baa"})
	h.enrol("p1", "+13035550151", "p1@patients.example")
	h.settles(h.send(byMail("p1", "APPT-77", "2037-01-07T10:30:00-07:00")), "delivered")
	h.ok("POST", "/v1/messages", map[string]any{
		"patient": "p1", "category": "appointment_change", "template": "appointment_change", "channels": []string{"email"}, "reference": "APPT-77",
		"variables": map[string]string{"appointment_time": "2037-01-08T09:00:00-07:00", "location": "12 Main Street"},
	})
	var files []channels.Attachment
	eventually(t, "both mails are there", func() bool {
		files = nil
		for _, m := range h.to("p1@patients.example") {
			files = append(files, m.Files...)
		}
		return len(files) == 2
	})
	first, second := files[0].Content, files[1].Content
	if field(first, "DTSTART") != "20370107T173000Z" || field(second, "DTSTART") != "20370108T160000Z" || field(first, "LOCATION") != "12 Main Street" {
		t.Errorf("%s\n%s", first, second)
	}
	if field(first, "UID") == "" || field(first, "UID") != field(second, "UID") || field(first, "SEQUENCE") > field(second, "SEQUENCE") || field(first, "DTSTAMP") > field(second, "DTSTAMP") {
		t.Errorf("the change is not a newer word on the same entry:\n%s\n%s", first, second)
	}
	for _, secret := range []string{"APPT-77", "Sandbox Practice", "VALARM", "Xiomara", "p1"} {
		if strings.Contains(string(first)+string(second), secret) {
			t.Errorf("the file tells %s", secret)
		}
	}
	h.quiet()
}

// No file goes where the mail itself may not say it, nor to whoever asked for discretion.
func TestNoCalendarWhereItMayNotBe(t *testing.T) {
	for name, agreement := range map[string]string{"without an agreement": "none", "discreet": "baa"} {
		t.Run(name, func(t *testing.T) {
			h := start(t, map[string]string{"providers.sendgrid.agreement": agreement})
			h.enrol("p1", "+13035550151", "p1@patients.example")
			if agreement == "baa" {
				h.ok("PUT", "/v1/patients/p1/confidential-communication", map[string]any{
					"discreet": true, "only": []map[string]any{{"channel": "email", "address": "p1@patients.example"}},
				})
			}
			h.settles(h.send(byMail("p1", "APPT-77", "2037-01-07T10:30:00-07:00")), "delivered")
			if mails := h.to("p1@patients.example"); len(mails) != 1 || len(mails[0].Files) != 0 {
				t.Errorf("%+v", mails)
			}
		})
	}
}
