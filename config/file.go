package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"sort"
	"strings"

	// yaml: read here and not by viper, whose errors repeat values.
	"go.yaml.in/yaml/v3"
)

// places are where the file is looked for when no flag names one.
var places = [...]string{"heed.yaml", "/etc/heed/heed.yaml"}

// maxFile bounds the settings file.
const maxFile = 1 << 20

// readFile takes the settings of the file, if there is one.
func (l *loader) readFile(path string) error {
	text, path, err := findFile(path)
	if err != nil || path == "" {
		return err
	}
	tree, problem := parse(text)
	if problem != "" {
		return Mistakes{{Key: path, Problem: problem}}
	}
	l.sift("", tree)
	return l.v.MergeConfigMap(tree)
}

// findFile reads the named file, or the first that is there; path is "" when none is.
func findFile(path string) (text []byte, found string, err error) {
	candidates := places[:]
	if path != "" {
		candidates = []string{path}
	}
	for _, candidate := range candidates {
		text, err := readLimited(candidate)
		switch {
		case err == nil:
			return text, candidate, nil
		case errors.Is(err, fs.ErrNotExist) && path == "":
			continue
		case errors.Is(err, fs.ErrNotExist):
			return nil, "", Mistakes{{Key: candidate, Problem: "there is no such file"}}
		case errors.Is(err, fs.ErrPermission):
			return nil, "", Mistakes{{Key: candidate, Problem: "must not be read by this user: change its owner or its mode"}}
		case errors.Is(err, errTooLong):
			return nil, "", Mistakes{{Key: candidate, Problem: "is longer than a megabyte, so it is no file of settings"}}
		}
		return nil, "", Mistakes{{Key: candidate, Problem: "cannot be read: it must be a file of YAML"}}
	}
	return nil, "", nil
}

var errTooLong = errors.New("too long")

func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if len(text) > maxFile {
		return nil, errTooLong
	}
	return text, err
}

var lineNumber = regexp.MustCompile(`line (\d+)`)

// parse reads YAML, of which JSON is a part. It gives what is wrong in words of our
// own: the parser's repeat what stands there, which may be a secret.
func parse(text []byte) (tree map[string]any, problem string) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	err := dec.Decode(&tree)
	if errors.Is(err, io.EOF) {
		return map[string]any{}, ""
	}
	if err == nil {
		if again := dec.Decode(&yaml.Node{}); !errors.Is(again, io.EOF) {
			return nil, "holds more than one document: keep the settings in one, without a line of ---"
		}
		return tree, ""
	}
	where := ""
	if m := lineNumber.FindStringSubmatch(err.Error()); m != nil {
		where = "line " + m[1] + ": "
	}
	if strings.Contains(err.Error(), "already defined") {
		return nil, where + "a name stands there that stands above it already: join the two"
	}
	return nil, where + "this is not YAML as settings need it: look at indentation, colons and quotes"
}

// sift tells of what is no setting and takes it out, at every level.
func (l *loader) sift(prefix string, tree map[string]any) {
	for _, name := range sorted(tree) {
		key := strings.ToLower(prefix + name)
		value := tree[name]
		group, isGroup := value.(map[string]any)
		_, isOdd := value.(map[any]any)
		switch {
		case isGroup && l.groups[key]:
			l.sift(key+".", group)
			continue
		case value == nil && l.groups[key]:
		case l.groups[key]:
			l.add(key, "is a group: write its settings under it, indented")
		case l.known[key] && (isGroup || isOdd):
			l.add(key, "is one setting: write its value behind the colon")
		case l.known[key]:
			continue
		default:
			l.add(shown(key), "is no setting"+meant(key, l.names()))
		}
		delete(tree, name)
	}
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// shown is a name as an error may hold it: what is no setting may be anything.
func shown(name string) string {
	if len(name) > 60 || strings.ContainsFunc(name, control) {
		return fmt.Sprintf("%.60q", name)
	}
	return name
}
