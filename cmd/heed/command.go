package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	// cobra: sub-commands, flags, help and shell completion as people know them.
	"github.com/spf13/cobra"

	"harmonize.care/heed/config"
	"harmonize.care/heed/gateway/observe"
)

// command is one run of the program.
type command struct {
	in       io.Reader
	out, err io.Writer
	file     string
	level    string
	asJSON   bool
	settings []string
}

func newCommand(in io.Reader, out, err io.Writer) *command {
	return &command{in: in, out: out, err: err}
}

func (c *command) root() *cobra.Command {
	root := &cobra.Command{
		Use: "heed", Short: "The consent and communication-preference gateway",
		Long:         "Every outbound message to a patient goes through this one door: it checks what the patient said,\ndecides by the practice's policy, and says why.",
		SilenceUsage: true, SilenceErrors: true,
	}
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	f := root.PersistentFlags()
	f.StringVar(&c.file, "config", "", "settings file (default ./heed.yaml, then /etc/heed/heed.yaml)")
	f.StringArrayVar(&c.settings, "set", nil, "one setting, as KEY=VALUE (database.url=sqlite:heed.db)")
	f.StringVar(&c.level, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&c.asJSON, "json", false, "answer in JSON")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		serveCommand(c), demoCommand(c), sendCommand(c), decideCommand(c), patientCommand(c), importCommand(c), tasksCommand(c),
		templatesCommand(c), policyCommand(c), auditCommand(c), keysCommand(c), migrateCommand(c), backupCommand(c), configCommand(c), versionCommand(c),
		webhooksCommand(c),
	)
	root.Args, root.RunE = cobra.NoArgs, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	checkArgs(root)
	return root
}

// checkArgs makes wrong arguments a usage error, and unknown sub-commands too.
func checkArgs(cmd *cobra.Command) {
	if cmd.Args == nil && cmd.HasSubCommands() {
		cmd.Args, cmd.RunE = cobra.NoArgs, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		checkArgs(sub)
	}
}

func (c *command) config() (*config.Config, error) {
	settings := map[string]string{}
	for _, s := range c.settings {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, usageError{fmt.Errorf("--set: write KEY=VALUE")}
		}
		settings[key] = value
	}
	return config.Load(config.Source{File: c.file, Env: os.Environ(), Flags: settings})
}

// log writes to stderr; stdout is for answers.
func (c *command) log() *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.level)); err != nil {
		level = slog.LevelInfo
	}
	return observe.NewLog(c.err, level)
}

// quiet keeps the job library's own talk out of the log; its warnings stay.
func quiet(log *slog.Logger) *slog.Logger { return slog.New(atLeast{log.Handler(), slog.LevelWarn}) }

type atLeast struct {
	slog.Handler
	level slog.Level
}

func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}

func (h atLeast) WithAttrs(a []slog.Attr) slog.Handler {
	return atLeast{h.Handler.WithAttrs(a), h.level}
}
func (h atLeast) WithGroup(n string) slog.Handler { return atLeast{h.Handler.WithGroup(n), h.level} }

// inHouse runs work in the gateway's house: the same database, the same rules. This
// process sends nothing itself; a running gateway does.
func (c *command) inHouse(ctx context.Context, work func(*house) error) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	h, err := openHouse(ctx, cfg, c.log(), "", func() error { return nil })
	if err != nil {
		return err
	}
	err = work(h)
	if closed := h.close(); err == nil {
		err = closed
	}
	return err
}

// answer writes v as JSON, or lets text write it for people.
func (c *command) answer(v any, text func(io.Writer)) error {
	if !c.asJSON {
		text(c.out)
		return nil
	}
	enc := json.NewEncoder(c.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// version is the module's version, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return "development"
}

// actor is who works at the command line, as the ledger and the audit log name them.
func actor() string {
	if user := os.Getenv("USER"); user != "" {
		return "cli:" + user
	}
	return "cli"
}
