package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"harmonize.care/heed/channels"
	"harmonize.care/heed/config"
	"harmonize.care/heed/gateway/imports"
)

//go:embed sample
var sample embed.FS

func demoCommand(c *command) *cobra.Command {
	return &cobra.Command{
		Use: "demo", Short: "Run the gateway with a pretend carrier and a sample practice", Args: cobra.NoArgs,
		Long: "Run the gateway with a pretend carrier and a sample practice: nothing leaves this machine. The other commands,\nrun in the same folder, speak to the same database.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.startConfig()
			if err != nil {
				return err
			}
			if cfg.Providers.Mode != config.Sandbox {
				return errors.New("providers.mode is live here: the demo runs only with the pretend carrier (providers.mode: sandbox)")
			}
			if cfg.Auth.AdminKey == "" {
				cfg.Auth.AdminKey = "demo_" + secretText()
			}
			return serve(cmd.Context(), cfg, c.log(), func(s *server) error {
				if err := s.furnishDemo(cmd.Context()); err != nil {
					return err
				}
				s.welcome(c.out)
				return nil
			})
		},
	}
}

// furnishDemo imports the sample practice's export, as a practice imports its own.
func (s *server) furnishDemo(ctx context.Context) error {
	s.daylight()
	patients, err := sample.Open("sample/patients.csv")
	if err != nil {
		return err
	}
	defer patients.Close()
	if _, err := imports.Patients(ctx, patients, s.importOptions(nil)); err != nil {
		return fmt.Errorf("the sample patients: %w", err)
	}
	text, err := sample.ReadFile("sample/appointments.csv")
	if err != nil {
		return err
	}
	if _, err := imports.Appointments(ctx, strings.NewReader(s.dated(string(text))), s.importOptions(nil)); err != nil {
		return fmt.Errorf("the sample appointments: %w", err)
	}
	return nil
}

var relative = regexp.MustCompile(`\{(-?[0-9hm]+)\}`)

// dated puts dates that follow today into the sample.
func (s *server) dated(text string) string {
	now := s.now().In(s.practiceZone())
	return relative.ReplaceAllStringFunc(text, func(m string) string {
		d, err := time.ParseDuration(strings.Trim(m, "{}"))
		if err != nil {
			return m
		}
		return now.Add(d).Add(time.Minute).Truncate(time.Minute).Format("01/02/2006 03:04 PM")
	})
}

func (h *house) practiceZone() *time.Location {
	zone, err := time.LoadLocation(h.cfg.Practice.TimeZone)
	if err != nil {
		return time.UTC // checked with the settings
	}
	return zone
}

// daylight moves the sandbox's clock to the morning when it is night at the
// practice: no reminder would go out until then.
func (s *server) daylight() {
	now := s.now().In(s.practiceZone())
	if now.Hour() >= 8 && now.Hour() < 17 {
		return
	}
	y, m, d := now.Date()
	morning := time.Date(y, m, d, 9, 0, 0, 0, now.Location())
	if morning.Before(now) {
		morning = morning.AddDate(0, 0, 1)
	}
	s.clock.Set(morning)
}

// mailboxOf is the mailbox that a sample patient's link would come to, or 0.
func (s *server) mailboxOf(patient int64) int64 {
	got, err := s.db.Snapshots(context.Background(), []int64{patient})
	if err != nil || got[patient] == nil {
		return 0
	}
	for _, a := range got[patient].Addresses {
		if a.OnRecord && a.Kind == channels.Mailbox {
			return a.ID
		}
	}
	return 0
}

func (s *server) welcome(w io.Writer) {
	page := ""
	if id, err := s.db.PatientID(context.Background(), "1001"); err == nil {
		page = s.links.Preferences(id, s.mailboxOf(id))
	}
	fmt.Fprintf(w, `
Heed runs with a pretend carrier and a sample practice. Nothing leaves this machine.

  Phones and mailboxes   %[1]s/sandbox/
  A patient's page       %[2]s
  The API, described     %[1]s/openapi.json
  Its key                %[3]s

Try, in a second terminal in this folder:

  1. Open the phones and mailboxes. Within a minute the first reminders arrive. On the phone ending
     in 0101, answer STOP.
  2. bin/heed send 1001 --category follow_up --var text='Your letter is ready at the front desk.'
     It takes another way now, and says why.
  3. bin/heed decide 1001 --category marketing --channels sms
  4. bin/heed tasks list
  5. bin/heed patient messages 1001, and bin/heed decide --replay ID with an id from there
`, s.cfg.HTTP.PublicURL, page, s.cfg.Auth.AdminKey)
	if offset := s.clock.Offset().Round(time.Minute); offset != 0 {
		fmt.Fprintf(w, "\nIt is night at the sample practice, so its clock was moved by %s to the morning.\n", offset)
	}
}
