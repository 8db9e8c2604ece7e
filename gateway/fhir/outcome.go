package fhir

import (
	"net/http"

	r4 "github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// issue is one thing to tell. It never repeats what was sent.
type issue struct {
	severity r4.IssueSeverity
	code     r4.IssueType
	path     string // FHIRPath of the element; "": the whole
	words    string
	rule     string // the code of ours that it is about, or ""
}

func wrong(code r4.IssueType, path, words string) issue {
	return issue{severity: r4.IssueSeverityError, code: code, path: path, words: words}
}

func note(path, words string) issue {
	return issue{severity: r4.IssueSeverityInformation, code: r4.IssueTypeInformational, path: path, words: words}
}

func warn(path, words string) issue {
	return issue{severity: r4.IssueSeverityWarning, code: r4.IssueTypeBusinessRule, path: path, words: words}
}

// refusal is a call, or an entry of a Bundle, of which nothing is done.
type refusal struct {
	status int
	issues []issue
}

func (r *refusal) Error() string { return http.StatusText(r.status) }

func refuse(status int, code r4.IssueType, path, words string) *refusal {
	return &refusal{status, []issue{wrong(code, path, words)}}
}

func hasErrors(list []issue) bool {
	for _, i := range list {
		if i.severity == r4.IssueSeverityError {
			return true
		}
	}
	return false
}

// maxIssues is how many mistakes one answer lists.
const maxIssues = 100

// outcome writes an OperationOutcome. One without an issue is not valid.
func outcome(issues []issue) r4.OperationOutcome {
	if len(issues) == 0 {
		issues = []issue{note("", "Nothing to tell.")}
	}
	var o r4.OperationOutcome
	for _, i := range issues[:min(len(issues), maxIssues)] {
		out := r4.OperationOutcomeIssue{Severity: i.severity, Code: i.code, Diagnostics: &i.words}
		if i.path != "" {
			out.Expression = []string{i.path}
		}
		if i.rule != "" {
			out.Details = &r4.CodeableConcept{Coding: []r4.Coding{{System: ptr(systemCode), Code: &i.rule}}}
		}
		o.Issue = append(o.Issue, out)
	}
	return o
}

func ptr[T any](v T) *T { return &v }

// text gives what a pointer points to, or "".
func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}
