package sandbox

import (
	"fmt"
	"net/mail"
	"strings"
)

// SendGrid's limits: https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send
const (
	maxMail             = 30 << 20 // bytes, all in all
	maxPersonalizations = 1000
	maxCustomArgs       = 10000 // bytes, per personalization
	maxCategories       = 10
	helpRoot            = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#"
)

// reserved headers belong to the provider.
var reserved = [...]string{"x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type",
	"content-transfer-encoding", "to", "from", "subject", "reply-to", "cc", "bcc"}

func fault(field, help, format string, args ...any) mailError {
	help = helpRoot + help
	return mailError{Message: fmt.Sprintf(format, args...), Field: &field, Help: &help}
}

// check lists what SendGrid would refuse the request for; any entry refuses it whole.
func (q *mailRequest) check() []mailError {
	var errs []mailError
	if n := len(q.Personalizations); n == 0 {
		errs = append(errs, fault("personalizations", "-Personalizations-Errors", "The personalizations field is required and must have at least one personalization."))
	} else if n > maxPersonalizations {
		errs = append(errs, fault("personalizations", "-Personalizations-Errors", "The maximum number of personalizations allowed is %d.", maxPersonalizations))
	}
	switch {
	case q.From == nil || q.From.Email == "":
		errs = append(errs, fault("from", "message.from", "The from object must be provided for every email send. It is an object that requires the email parameter, but may also contain a name parameter."))
	case !isMailbox(q.From.Email):
		errs = append(errs, fault("from.email", "message.from", "The from email does not contain a valid address."))
	}
	if len(q.Categories) > maxCategories {
		errs = append(errs, fault("categories", "message.categories", "There is a limit of %d categories per mail.", maxCategories))
	}
	errs = append(errs, q.checkContent()...)
	errs = append(errs, q.checkFiles()...)
	errs = append(errs, checkHeaders("headers", q.Headers)...)
	return append(errs, q.checkPeople()...)
}

func (q *mailRequest) checkContent() []mailError {
	var errs []mailError
	if len(q.Content) == 0 && q.TemplateID == "" {
		errs = append(errs, fault("content", "message.content", "Unless a valid template_id is provided, the content parameter is required. There must be at least one defined content block."))
	}
	seenHTML := false
	for i, c := range q.Content {
		at := fmt.Sprintf("content.%d", i)
		if c.Type == "" {
			errs = append(errs, fault(at+".type", "message.content.type", "The content type must be a string at least one character in length."))
		}
		if c.Value == "" {
			errs = append(errs, fault(at+".value", "message.content.value", "The content value must be a string at least one character in length."))
		}
		if c.Type == "text/plain" && seenHTML {
			errs = append(errs, fault(at, "message.content", "If present, text/plain must be first, followed by text/html, followed by any other content."))
		}
		seenHTML = seenHTML || c.Type == "text/html"
	}
	return errs
}

func checkHeaders(at string, headers map[string]string) []mailError {
	var errs []mailError
	for name := range headers {
		for _, taken := range reserved {
			if strings.EqualFold(name, taken) {
				errs = append(errs, fault(at+"."+name, "message.headers", "The header %s is reserved.", taken))
			}
		}
	}
	return errs
}

// checkPeople refuses bad and repeated addresses, and personalizations that lack
// something.
func (q *mailRequest) checkPeople() []mailError {
	var errs []mailError
	seen := map[string]bool{}
	for i, p := range q.Personalizations {
		at := fmt.Sprintf("personalizations.%d", i)
		if len(p.To) == 0 {
			errs = append(errs, fault(at+".to", "message.personalizations.to", "The to array is required for all personalization objects, and must have at least one email object with a valid email address."))
		}
		if q.Subject == "" && p.Subject == "" && q.TemplateID == "" {
			errs = append(errs, fault("subject", "message.subject", "The subject is required. You can get around this requirement if you use a template with a subject defined or if every personalization has a subject defined."))
		}
		if size := argsSize(merged(q.CustomArgs, p.CustomArgs)); size >= maxCustomArgs {
			errs = append(errs, fault(at+".custom_args", "message.custom_args", "The custom_args must be less than %d bytes.", maxCustomArgs))
		}
		errs = append(errs, checkHeaders(at+".headers", p.Headers)...)
		for _, list := range []struct {
			name  string
			boxes []mailbox
		}{{"to", p.To}, {"cc", p.Cc}, {"bcc", p.Bcc}} {
			for j, box := range list.boxes {
				field := at + "." + list.name
				address := strings.ToLower(box.Email)
				switch {
				case !isMailbox(box.Email):
					errs = append(errs, fault(fmt.Sprintf("%s.%d.email", field, j), "message.personalizations."+list.name, "Does not contain a valid address."))
				case seen[address]:
					errs = append(errs, fault(field, "message.recipient-errors", "Each email address in the personalization block should be unique between to, cc, and bcc. We found the first duplicate instance of [%s] in the %s field.", address, field))
				}
				seen[address] = true
			}
		}
	}
	return errs
}

func argsSize(args map[string]string) int {
	size := 0
	for k, v := range args {
		size += len(k) + len(v)
	}
	return size
}

// isMailbox takes a bare address, without a name.
func isMailbox(text string) bool {
	parsed, err := mail.ParseAddress(text)
	return err == nil && parsed.Address == text
}
