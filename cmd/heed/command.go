package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"runtime/debug"
	"slices"
	"strings"

	// cobra: sub-commands, flags, help and shell completion as people know them.
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"harmonize.care/heed/config"
	"harmonize.care/heed/gateway"
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
	f.BoolVar(&c.asJSON, "json", false, "answer in JSON; a mistake or a fault is told as a problem (RFC 9457) on standard error")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		serveCommand(c), demoCommand(c), sendCommand(c), decideCommand(c), patientCommand(c), importCommand(c), tasksCommand(c),
		templatesCommand(c), policyCommand(c), auditCommand(c), keysCommand(c), migrateCommand(c), backupCommand(c), configCommand(c), versionCommand(c),
		webhooksCommand(c), mirrorCommand(c), campaignCommand(c), benchCommand(c), sendingCommand(c), healthCommand(c),
	)
	root.PersistentPreRunE = func(cmd *cobra.Command, args []string) error { return c.checkCall(cmd, args) }
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

// freeFlags are those in which people write freely.
var freeFlags = []string{"var", "outcome", "note", "override", "set"}

// checkCall looks at a call as a whole before anything is done.
func (c *command) checkCall(cmd *cobra.Command, args []string) error {
	if err := cmd.ValidateRequiredFlags(); err != nil {
		return usageError{err}
	}
	if err := new(slog.Level).UnmarshalText([]byte(c.level)); err != nil {
		return usageError{errors.New("--log-level: say debug, info, warn or error")}
	}
	for i, arg := range args {
		if problem := gateway.TextProblem(arg, false); problem != "" {
			return usageError{fmt.Errorf("argument %d %s", i+1, problem)}
		}
	}
	var bad error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if problem := gateway.TextProblem(f.Value.String(), slices.Contains(freeFlags, f.Name)); problem != "" {
			bad = usageError{fmt.Errorf("--%s %s", f.Name, problem)}
		}
	})
	return bad
}

// config reads the settings and checks them as a whole, the policy among them, and tells
// everything that is wrong at once.
func (c *command) config() (*config.Config, error) {
	return c.configThat(func(cfg *config.Config) error {
		_, err := checkSettings(cfg)
		return err
	})
}

// startConfig is config for what sends, and for `heed config`: the texts are checked too.
func (c *command) startConfig() (*config.Config, error) { return c.configThat(checkStart) }

func (c *command) configThat(check func(*config.Config) error) (*config.Config, error) {
	settings := map[string]string{}
	for _, s := range c.settings {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, usageError{fmt.Errorf("--set: write KEY=VALUE")}
		}
		settings[key] = value
	}
	cfg, err := config.Load(config.Source{File: c.file, Env: os.Environ(), Flags: settings})
	if cfg == nil {
		return nil, err
	}
	if err != nil {
		_, wrong := loadPolicy(cfg.Policy.File) // the rest would only follow from what is wrong already
		return nil, errors.Join(err, wrong)
	}
	if err := check(cfg); err != nil {
		return nil, err
	}
	return cfg, nil
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
// process sends nothing itself; a running gateway does. In a folder without a database
// it makes none: that is most likely the wrong folder.
func (c *command) inHouse(ctx context.Context, work func(*house) error) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if path, ok := strings.CutPrefix(cfg.Database.URL, "sqlite:"); ok {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no database at %s: run this in the gateway's folder, or name it with --set database.url=sqlite:PATH (serve, demo, migrate and import make one)", path)
		}
	}
	return c.inHouseOf(ctx, cfg, work)
}

// inNewHouse is inHouse for what may come first: it makes the database.
func (c *command) inNewHouse(ctx context.Context, work func(*house) error) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	return c.inHouseOf(ctx, cfg, work)
}

func (c *command) inHouseOf(ctx context.Context, cfg *config.Config, work func(*house) error) error {
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

// actor is who works at the command line, as the ledger and the audit log name them:
// the operating system's user, which no variable can change.
func actor() string {
	if who, err := user.Current(); err == nil && who.Username != "" {
		return "cli:" + who.Username
	}
	return "cli"
}

// pairs reads flags of the form NAME=VALUE; a value may hold anything, commas and = too.
func pairs(flag string, list []string) (map[string]string, error) {
	got := map[string]string{}
	for _, one := range list {
		name, value, ok := strings.Cut(one, "=")
		if _, twice := got[name]; !ok || name == "" || twice {
			return nil, usageError{fmt.Errorf("--%s: write NAME=VALUE, each name once", flag)}
		}
		got[name] = value
	}
	return got, nil
}
