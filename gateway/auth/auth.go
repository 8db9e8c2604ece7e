// Package auth says who is calling and what their role allows.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"strings"
)

// Role is what a caller is.
type Role string

// The roles, each with the least it needs.
const (
	Scheduler Role = "scheduler" // patients, messages, tasks
	Marketer  Role = "marketer"  // campaigns and their totals; never a patient's record
	Privacy   Role = "privacy"   // ledger, disclosures, restrictions, audit, erasure
	Admin     Role = "admin"     // everything
	Service   Role = "service"   // an EHR's key: patients and messages
)

// Roles lists every role.
var Roles = []Role{Scheduler, Marketer, Privacy, Admin, Service}

// Permission is one thing that may be done.
type Permission string

// The permissions.
const (
	ReadPatient     Permission = "patient.read"
	WritePatient    Permission = "patient.write"
	ErasePatient    Permission = "patient.erase"
	ReadLedger      Permission = "ledger.read"
	ReadDisclosures Permission = "disclosures.read"
	ExportPatient   Permission = "patient.export"
	SendMessage     Permission = "message.send"
	ReadMessage     Permission = "message.read"
	Override        Permission = "message.override"
	Decide          Permission = "decision.ask"
	WorkTasks       Permission = "task.work"
	ManageStops     Permission = "stop.manage"
	Restrict        Permission = "restriction.manage"
	ReadTemplate    Permission = "template.read"
	WriteTemplate   Permission = "template.write"
	ApproveTemplate Permission = "template.approve"
	ReadAudit       Permission = "audit.read"
	ManageKeys      Permission = "key.manage"

	RunCampaigns     Permission = "campaign.run" // text, audience, start, pause: totals, and nobody's name
	ApproveCampaigns Permission = "campaign.approve"
	ReadCampaigns    Permission = "campaign.read"

	ManageWebhooks Permission = "webhook.manage" // an endpoint hears of everybody: admin alone
)

var allowed = map[Role][]Permission{
	Scheduler: {ReadPatient, WritePatient, SendMessage, ReadMessage, Override, Decide, WorkTasks, ManageStops, ReadTemplate},
	Service:   {ReadPatient, WritePatient, SendMessage, ReadMessage, Decide, ManageStops, ReadTemplate},
	Marketer:  {ReadTemplate, WriteTemplate, ReadCampaigns, RunCampaigns, ApproveCampaigns}, // texts: not for essential categories
	Privacy: {
		ReadPatient, WritePatient, ErasePatient, ReadLedger, ReadDisclosures, ExportPatient, ReadMessage, Decide, WorkTasks, ManageStops, Restrict, ReadTemplate, ApproveTemplate, ReadAudit,
		ReadCampaigns, ApproveCampaigns,
	},
}

// May says whether the role allows it.
func (r Role) May(p Permission) bool {
	return r == Admin || slices.Contains(allowed[r], p)
}

// Caller is who is calling.
type Caller struct {
	ID   string // which key it is: nobody else's, whatever its name
	Name string // the key's name: stands in the audit log and the ledger
	Role Role
}

// Bootstrap is the name of the settings' own key.
const Bootstrap = "admin"

// reserved are the names of those who are no key: the ledger and the audit log would
// take one for the other.
var reserved = []string{Bootstrap, "heed", "patient", "twilio", "sendgrid", "smtp", "sandbox", "import", "cli"}

// NameProblem says why a key may not have this name, or "". Names stand in the audit
// log for good, so they are plain.
func NameProblem(name string) string {
	switch {
	case name == "" || len(name) > 64:
		return "give a name of at most 64 characters"
	case strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "":
		return "write it in small letters, digits, and - _ ."
	case slices.Contains(reserved, name):
		return "this name is taken by Heed itself: " + strings.Join(reserved, ", ")
	}
	return ""
}

// Hash is how a key is kept: SHA-256 is enough for keys of 256 random bits.
func Hash(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}

// Same compares two keys in constant time, whatever their lengths.
func Same(a, b string) bool {
	return subtle.ConstantTimeCompare(Hash(a), Hash(b)) == 1
}
