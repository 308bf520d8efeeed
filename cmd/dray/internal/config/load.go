package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/seed-7270d448/dray/engine"
	"go.yaml.in/yaml/v3"
)

// DefaultPath is where the config file is looked for.
const DefaultPath = "/etc/dray/dray.yaml"

// ErrUnread means that there is no config file to find problems in.
var ErrUnread = errors.New("read config")

// Config is what a config file describes, ready for engine.New.
type Config struct {
	Engine        engine.Config // Version, Log and Drain are left to the caller
	MetricsListen string        // loopback address for metrics; "": only the control socket
	Warnings      []Problem     // what is right, and may not be wise
}

// Load reads the file at path and checks all of it, the engine's own rules
// included. What is wrong with the file comes back as *Error, all at once.
// Nothing is started and the state folder is not touched.
func Load(path string) (*Config, error) { return load(path, false) }

// Check is Load for whoever asks before it is used: a config that leaves behind
// what waits in its state folder is refused too.
func Check(path string) (*Config, error) { return load(path, true) }

func load(path string, pending bool) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	r := newReader()
	r.dir = filepath.Dir(path)
	if info, err := os.Stat(path); err == nil {
		r.exposed = info.Mode().Perm()&0o077 != 0
	}
	c := r.parse(data, os.Getenv)
	if c != nil {
		r.explain(engine.Check(c.Engine))
	}
	if pending && len(r.problems) == 0 { // else it is not known what it means to have
		r.explain(engine.CheckPending(c.Engine))
	}
	if err := r.err(path); err != nil {
		return nil, err
	}
	c.Warnings = r.warnings
	return c, nil
}

// StateDir returns the state folder that the file at path names and reads
// nothing else, so that a state folder can be looked at with a broken config
// or without credentials.
func StateDir(path string) (string, error) {
	data, err := readFile(path)
	if err != nil {
		return "", err
	}
	r := newReader()
	r.dir = filepath.Dir(path)
	m := r.root(data)
	if m == nil {
		return "", r.err(path)
	}
	dir := stateDir(m)
	return dir, r.err(path)
}

func readFile(path string) ([]byte, error) {
	data, err := readBounded(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w; name the file with -c, samples come with Dray under configs", ErrUnread, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnread, err)
	}
	return data, nil
}

func newReader() *reader {
	return &reader{where: map[string]*yaml.Node{}, bad: map[string]bool{}}
}

// err returns what was gathered, nil if that is nothing.
func (r *reader) err(file string) error {
	if len(r.problems) == 0 {
		return nil
	}
	return &Error{File: file, Problems: sorted(r.problems)}
}

// parse reads a whole file; nil if it is not YAML.
func (r *reader) parse(data []byte, env func(string) string) *Config {
	m := r.root(data)
	if m == nil {
		return nil
	}
	return r.top(m, env)
}

// root reads the one YAML document of a file as a mapping; nil if there is none.
func (r *reader) root(data []byte) *mapping {
	start := &yaml.Node{Line: 1, Column: 1}
	r.where[""] = start
	if len(data) > maxFile {
		r.report("", start, "", "the file is greater than %d KiB", maxFile>>10)
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0:
		r.report("", start, "start from one of the samples", "the file is empty")
		return nil
	case err != nil:
		r.syntax(data, err)
		return nil
	}
	if err := decoder.Decode(&more); err == nil {
		r.report("", &more, "keep one", "a second document begins here")
		return nil
	} else if !errors.Is(err, io.EOF) {
		r.syntax(data, err)
		return nil
	}
	before := len(r.problems)
	m := r.mapping("", doc.Content[0], doc.Content[0])
	if len(r.problems) > before && len(m.keys) == 0 {
		return nil
	}
	return m
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

// syntax reports an error of the YAML parser. It tells a line at best, so the
// column is where that line's text begins.
func (r *reader) syntax(data []byte, err error) {
	at := &yaml.Node{Line: 1, Column: 1}
	text, hint := err.Error(), "check indentation, colons and quotes here and in the line before"
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = m[2]
		if n, e := strconv.Atoi(m[1]); e == nil {
			at.Line = n
		}
	}
	lines := strings.Split(string(data), "\n")
	if at.Line <= len(lines) {
		line := lines[at.Line-1]
		begin := len(line) - len(strings.TrimLeft(line, " \t"))
		at.Column = begin + 1
		if strings.Contains(line[:begin], "\t") {
			hint = "indent with spaces, not tabs"
		}
	}
	r.report("", at, hint, "not YAML: %s", clip(text))
}

// explain turns what engine.Check and CheckPending found into problems with a place. A problem
// of a field, or of what is around it, that the reader has told is not told twice.
func (r *reader) explain(err error) {
	if list, ok := err.(interface{ Unwrap() []error }); ok { // an errors.Join
		for _, e := range list.Unwrap() {
			r.explain(e)
		}
		return
	}
	var ce *engine.ConfigError
	switch {
	case err == nil:
	case errors.As(err, &ce):
		if at, told := r.place(ce.Field); !told {
			r.report(ce.Field, at, ce.Hint, "%s", ce.Problem)
			delete(r.bad, ce.Field) // two rules may find fault with one field
		}
	default:
		r.report("", r.where[""], "", "%v", err)
	}
}
