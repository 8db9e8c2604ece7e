package sandbox

import (
	"encoding/base64"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"harmonize.care/heed/channels"
)

// attachment is one file of a mail.
type attachment struct {
	Content     string `json:"content"` // base64
	Type        string `json:"type"`
	Filename    string `json:"filename"`
	Disposition string `json:"disposition"`
	ContentID   string `json:"content_id"`
}

// checkFiles refuses what SendGrid refuses of attachments:
// https://www.twilio.com/docs/sendgrid/api-reference/mail-send/errors
func (q *mailRequest) checkFiles() []mailError {
	var errs []mailError
	for i, a := range q.Attachments {
		at := fmt.Sprintf("attachments.%d", i)
		if _, err := base64.StdEncoding.DecodeString(a.Content); err != nil || a.Content == "" {
			errs = append(errs, fault(at+".content", "message.attachments.content", "The attachment content must be base64 encoded."))
		}
		if strings.ContainsAny(a.Type, ";\r\n") {
			errs = append(errs, fault(at+".type", "message.attachments.type", "The attachment type cannot contain ';', or CRLF characters."))
		}
		if a.Filename == "" || strings.ContainsAny(a.Filename, ";\r\n") {
			errs = append(errs, fault(at+".filename", "message.attachments.filename", "The filename is required and cannot contain ';', or CRLF characters."))
		}
		if a.Disposition != "" && a.Disposition != "attachment" && a.Disposition != "inline" {
			errs = append(errs, fault(at+".disposition", "message.attachments.disposition", "The disposition of your attachment can be either \"inline\" or \"attachment\"."))
		}
	}
	return errs
}

// files are the attachments, read.
func (q *mailRequest) files() []channels.Attachment {
	var list []channels.Attachment
	for _, a := range q.Attachments {
		content, _ := base64.StdEncoding.DecodeString(a.Content) // it was checked
		list = append(list, channels.Attachment{Name: a.Filename, Type: a.Type, Content: content})
	}
	return list
}

// showFile hands a mail's attachment out as a file: nothing of it runs here.
func (s *Sandbox) showFile(w http.ResponseWriter, r *http.Request) {
	m, ok := s.get(r.PathValue("id"))
	n, err := strconv.Atoi(r.PathValue("n"))
	if !ok || err != nil || n < 0 || n >= len(m.Files) {
		http.NotFound(w, r)
		return
	}
	kind := m.Files[n].Type
	if kind == "" {
		kind = "application/octet-stream"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", mailCSP)
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": m.Files[n].Name}))
	w.Write(m.Files[n].Content)
}
