package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"harmonize.care/heed/config"
	"harmonize.care/heed/gateway"
	"harmonize.care/heed/gateway/auth"
	"harmonize.care/heed/gateway/jobs"
	"harmonize.care/heed/gateway/store"
	"harmonize.care/heed/preferences/policy"

	"go.yaml.in/yaml/v3"
)

func policyCommand(c *command) *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "The rules of the practice: print, check, compare"}
	cmd.AddCommand(
		&cobra.Command{
			Use: "print", Short: "Print the policy in force, as a file to start from", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				cfg, err := c.config()
				if err != nil {
					return err
				}
				p, err := loadPolicy(cfg.Policy.File)
				if err != nil {
					return err
				}
				return c.printPolicy(p)
			},
		},
		&cobra.Command{
			Use: "check FILE", Short: "Check a policy file; every mistake is told with its key", Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error {
				p, err := loadPolicy(args[0])
				if err != nil {
					return err
				}
				return c.answer(map[string]string{"version": p.Version}, func(w io.Writer) { fmt.Fprintf(w, "The policy is right. Its version is %s.\n", p.Version) })
			},
		},
		&cobra.Command{
			Use: "diff FILE", Short: "Make the recorded decisions again under another policy, and list what would change", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				p, err := loadPolicy(args[0])
				if err != nil {
					return err
				}
				return c.inHouse(cmd.Context(), func(h *house) error { return c.diffPolicy(cmd.Context(), h, p) })
			},
		},
	)
	return cmd
}

// exemption shows the setting that a practice relying on the exemption needs.
const exemption = `# The policy in force. Counsel may change it; 'heed policy check FILE' says what is wrong, and
# policy.file in the settings puts it in force. Where a practice relies on the exemption of
# 47 CFR 64.1200(a)(9)(iv) (free-to-the-patient texts), programs.care.cap is {per_day: 1, per_7_days: 3}.
`

func (c *command) printPolicy(p *policy.Policy) error {
	if c.asJSON {
		return c.answer(p.File, nil)
	}
	body, err := yaml.Marshal(p.File)
	if err != nil {
		return err
	}
	_, err = io.WriteString(c.out, exemption+string(body))
	return err
}

func auditCommand(c *command) *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Prove that nothing was edited"}
	cmd.AddCommand(&cobra.Command{
		Use: "verify", Short: "Walk the chain over ledger and audit log, and fold every patient again", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.inHouse(cmd.Context(), func(h *house) error {
				found, err := h.db.Verify(cmd.Context())
				if err != nil {
					return err
				}
				if err := c.answer(found, func(w io.Writer) {
					fmt.Fprintf(w, "%d seals walked, %d rows not sealed yet, %d patients folded again.\n", found.Seals, found.Unsealed, found.Patients)
					for _, fault := range found.Faults {
						fmt.Fprintln(w, "FAULT:", fault)
					}
				}); err != nil {
					return err
				}
				if len(found.Faults) > 0 {
					return errors.New("the record was changed: keep this database as it is, and compare it with a backup")
				}
				return nil
			})
		},
	})
	return cmd
}

func keysCommand(c *command) *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "API keys: make, list, revoke"}
	var role string
	add := &cobra.Command{
		Use: "add NAME", Short: "Make a key; it is shown once and kept as a hash", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(auth.Roles, auth.Role(role)) {
				return usageError{fmt.Errorf("--role: one of %v", auth.Roles)}
			}
			if problem := auth.NameProblem(args[0]); problem != "" {
				return usageError{errors.New("NAME: " + problem)}
			}
			key := "heed_" + secretText()
			return c.inHouse(cmd.Context(), func(h *house) error {
				err := h.db.AddAPIKey(cmd.Context(), args[0], auth.Role(role), auth.Hash(key))
				if errors.Is(err, gateway.ErrConflict) {
					return errors.New("a key has this name already; names are never used again, since the audit log holds them")
				}
				if err != nil {
					return err
				}
				// Nobody has the key before it is shown, so none is ever in use that is not written down.
				if err := h.keyAudit(cmd.Context(), "key.add", args[0], role); err != nil {
					return errors.Join(err, h.db.RevokeAPIKey(cmd.Context(), args[0]))
				}
				return c.answer(map[string]string{"name": args[0], "role": role, "key": key}, func(w io.Writer) { fmt.Fprintln(w, key) })
			})
		},
	}
	add.Flags().StringVar(&role, "role", "", "scheduler, marketer, privacy, admin or service (required)")
	_ = add.MarkFlagRequired("role") // it fails only for a flag that is not there
	revoke := &cobra.Command{
		Use: "revoke NAME", Short: "End a key, at once", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.inHouse(cmd.Context(), func(h *house) error {
				if err := h.db.RevokeAPIKey(cmd.Context(), args[0]); errors.Is(err, gateway.ErrNotFound) {
					return errors.New("no key in force has this name")
				} else if err != nil {
					return err
				}
				return c.did(h.keyAudit(cmd.Context(), "key.revoke", args[0], ""), "revoked", "Revoked: the next call with it is refused.")
			})
		},
	}
	list := &cobra.Command{
		Use: "list", Short: "Names and roles; never the keys", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.inHouse(cmd.Context(), func(h *house) error {
				keys, err := h.db.APIKeys(cmd.Context())
				if err != nil {
					return err
				}
				return c.listKeys(keys)
			})
		},
	}
	cmd.AddCommand(add, list, revoke)
	return cmd
}

// keyAudit writes down what was done with a key.
func (h *house) keyAudit(ctx context.Context, verb, name, role string) error {
	_, err := h.db.Commit(ctx, gateway.Change{At: h.now(), Actor: actor(), Audit: []gateway.Audit{{Verb: verb, Object: "key:" + name, Detail: role}}})
	return err
}

func (c *command) listKeys(keys []store.APIKey) error {
	type row struct {
		Name    string     `json:"name"`
		Role    string     `json:"role"`
		Created time.Time  `json:"created_at"`
		Revoked *time.Time `json:"revoked_at,omitempty"`
	}
	list := []row{}
	for _, k := range keys {
		list = append(list, row{k.Name, string(k.Role), k.Created.UTC(), pointer(k.Revoked)})
	}
	return c.answer(list, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		for _, k := range list {
			state := "in force"
			if k.Revoked != nil {
				state = "revoked " + k.Revoked.Format(time.RFC3339)
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", k.Name, k.Role, k.Created.Format(time.RFC3339), state)
		}
		_ = t.Flush() // the writer underneath says it at its own end
	})
}

// secretText is 256 random bits.
func secretText() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails: it ends the process instead
	return base64.RawURLEncoding.EncodeToString(b)
}

func migrateCommand(c *command) *cobra.Command {
	return &cobra.Command{
		Use: "migrate", Short: "Bring the database's schema up to date (serve does it too)", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.inNewHouse(cmd.Context(), func(h *house) error {
				writer, postgres := h.db.SQL()
				if err := jobs.Migrate(cmd.Context(), jobs.Options{DB: writer, Postgres: postgres, Log: quiet(h.log)}); err != nil {
					return err
				}
				return c.answer(map[string]string{"schema": "up to date"}, func(w io.Writer) { fmt.Fprintln(w, "The schema is up to date.") })
			})
		},
	}
}

func backupCommand(c *command) *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Copy a SQLite database while it is in use", Args: cobra.ExactArgs(1),
		Long: "Copy a SQLite database while it is in use. Keep the secret (keys.secret, or the key file beside the database)\napart from the copy: without it the copy cannot be read.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.inHouse(cmd.Context(), func(h *house) error {
				if err := h.db.Backup(cmd.Context(), args[0]); err != nil {
					return err
				}
				return c.answer(map[string]string{"file": args[0]}, func(w io.Writer) { fmt.Fprintln(w, "The copy is made. Keep the secret apart from it.") })
			})
		},
	}
}

func configCommand(c *command) *cobra.Command {
	return &cobra.Command{
		Use: "config", Short: "Print the settings in force, secrets masked", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := c.startConfig()
			if err != nil {
				return err
			}
			return c.printConfig(cfg)
		},
	}
}

func (c *command) printConfig(cfg *config.Config) error {
	body := cfg.Masked()
	if !c.asJSON {
		_, err := c.out.Write(body)
		return err
	}
	var plain any
	if err := yaml.Unmarshal(body, &plain); err != nil {
		return err
	}
	return c.answer(plain, nil)
}

func versionCommand(c *command) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return c.answer(map[string]string{"version": version()}, func(w io.Writer) { fmt.Fprintln(w, "heed", version()) })
		},
	}
}
