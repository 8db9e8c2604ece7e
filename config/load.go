package config

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	// viper: settings in layers.
	"github.com/spf13/viper"

	"harmonize.care/heed/channels"
)

// Source is where settings come from.
type Source struct {
	File  string            // "": ./heed.yaml, else /etc/heed/heed.yaml, else none
	Env   []string          // KEY=VALUE, as os.Environ gives it
	Flags map[string]string // by setting: "http.listen"
}

// Load reads and checks all settings. The error is Mistakes: all of them; what could be
// read comes with it, so that more can be checked in the same run, and for nothing else.
func Load(s Source) (*Config, error) {
	c := &Config{}
	programs := map[channels.Program]*ProgramConfig{}
	for _, p := range channels.Programs {
		programs[p] = &ProgramConfig{}
	}
	l := newLoader(c.settings(programs))
	if err := l.readFile(s.File); err != nil {
		return nil, err // nothing else can be told before it is mended
	}
	l.readEnv(s.Env)
	l.readFlags(s.Flags)
	l.fill()
	for p, pc := range programs {
		if *pc != (ProgramConfig{}) {
			if c.Programs == nil {
				c.Programs = map[channels.Program]ProgramConfig{}
			}
			c.Programs[p] = *pc
		}
	}
	c.tidy()
	check(c, l.add)
	if len(l.mistakes) > 0 {
		return c, l.mistakes
	}
	return c, nil
}

// loader puts the layers onto each other.
type loader struct {
	v        *viper.Viper
	list     []setting
	known    map[string]bool   // every setting
	groups   map[string]bool   // every name that settings stand under
	from     map[string]string // what set a setting, where it was not the file
	mistakes Mistakes
}

func newLoader(list []setting) *loader {
	l := &loader{v: viper.New(), list: list, known: map[string]bool{}, groups: map[string]bool{}, from: map[string]string{}}
	for _, s := range list {
		l.known[s.key] = true
		for i, r := range s.key {
			if r == '.' {
				l.groups[s.key[:i]] = true
			}
		}
	}
	return l
}

// add notes a mistake. The first one about a setting is enough: what is wrong twice
// is mostly wrong for one reason.
func (l *loader) add(key, problem string) {
	for _, m := range l.mistakes {
		if m.Key == key {
			return
		}
	}
	setting, _, _ := strings.Cut(key, "[") // of a list's element
	l.mistakes = append(l.mistakes, Mistake{Key: key, From: l.from[setting], Problem: problem})
}

const envPrefix = "HEED_"

// envName is the variable of a setting.
func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// readEnv takes the variables of settings. An empty one is as good as none: that is
// how start scripts pass on what they do not have. Unknown ones are told, as a
// misspelt one would be a setting that is not in force; those of the tests are not.
func (l *loader) readEnv(env []string) {
	keys := map[string]string{}
	var names []string
	for _, s := range l.list {
		keys[envName(s.key)] = s.key
		names = append(names, envName(s.key))
	}
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) || strings.HasPrefix(name, envPrefix+"TEST_") {
			continue
		}
		key, ok := keys[name]
		if !ok {
			l.add(shown(name), "is no setting of Heed"+meant(name, names))
			continue
		}
		if value != "" {
			l.v.Set(key, value)
			l.from[key] = name
		}
	}
}

func (l *loader) readFlags(flags map[string]string) {
	for _, key := range sorted(flags) {
		if !l.known[key] {
			l.add(shown(key), "is no setting"+meant(key, l.names()))
			continue
		}
		l.v.Set(key, flags[key])
		l.from[key] = "a flag"
	}
}

// names lists the settings and the groups that they stand in.
func (l *loader) names() []string {
	names := sorted(l.groups)
	for _, s := range l.list {
		names = append(names, s.key)
	}
	return names
}

// fill puts what is in force where it belongs.
func (l *loader) fill() {
	for _, s := range l.list {
		if s.def != nil {
			l.v.SetDefault(s.key, s.def)
		}
	}
	// A mode that is none is told once: without the sandbox's defaults, everything that
	// live mode needs would be told as well.
	sandbox := l.v.GetString("providers.mode") != Live
	for _, s := range l.list {
		if sandbox && s.sandbox != nil {
			l.v.SetDefault(s.key, s.sandbox)
		}
		value := l.v.Get(s.key)
		if value == nil {
			continue
		}
		if problem := put(s, value); problem != "" {
			l.add(s.key, problem)
		}
		if s.hide != nothing && strings.Contains(fmt.Sprint(value), mask) {
			l.add(s.key, "holds the mask that `heed config` prints: put the secret itself there")
		}
	}
}

// put converts a value and gives what is wrong with it, or "".
func put(s setting, value any) string {
	text, isText := value.(string)
	text = strings.TrimSpace(text)
	switch at := s.at.(type) {
	case *string:
		if !isText {
			return "must be a text: write it in quotes"
		}
		if !s.lines && strings.ContainsFunc(text, control) {
			return "must be one line without control characters"
		}
		*at = text
	case *int:
		n, err := strconv.Atoi(text)
		if number, ok := value.(int); ok {
			n, err = number, nil
		}
		if err != nil {
			return "must be a whole number, such as 30"
		}
		*at = n
	case *bool:
		yes, ok := value.(bool)
		if !ok && text != "true" && text != "false" {
			return "must be true or false"
		}
		*at = yes || text == "true"
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if given, ok := value.(time.Duration); ok {
			d, err = given, nil
		}
		if err != nil {
			return "must be a time with its unit, such as 5s or 10m"
		}
		*at = d
	case *[]string:
		return putList(at, value)
	}
	return ""
}

// putList takes a list, or a text with commas as the environment has it.
func putList(at *[]string, value any) string {
	if text, ok := value.(string); ok {
		for _, one := range strings.Split(text, ",") {
			if one = strings.TrimSpace(one); one != "" {
				*at = append(*at, one)
			}
		}
		return ""
	}
	list, ok := value.([]any)
	if !ok {
		return "must be a list of texts: [\"…\", \"…\"]"
	}
	for _, one := range list {
		text, ok := one.(string)
		if !ok || strings.ContainsFunc(text, control) {
			return "must be a list of texts, each of one line and in quotes: [\"…\", \"…\"]"
		}
		*at = append(*at, strings.TrimSpace(text))
	}
	return ""
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

// tidy brings equal settings to one form.
func (c *Config) tidy() {
	for _, u := range []*string{&c.HTTP.PublicURL, &c.Providers.Twilio.BaseURL, &c.Providers.SendGrid.BaseURL} {
		*u = strings.TrimRight(*u, "/")
	}
	if c.Providers.Mode == Live || c.HTTP.PublicURL != "" {
		return
	}
	if host, port, err := net.SplitHostPort(c.HTTP.Listen); err == nil {
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		scheme := "http://"
		if c.HTTP.TLS.Cert != "" {
			scheme = "https://"
		}
		c.HTTP.PublicURL = scheme + net.JoinHostPort(host, port)
	}
}
