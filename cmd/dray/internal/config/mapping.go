package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A mapping hands out the values of one YAML mapping by key and type. What it
// is asked for is the schema: done reports every key that nobody asked for.
// A value that is absent or wrong reads as its zero value.
type mapping struct {
	r      *reader
	path   string
	at     *yaml.Node // where to report what is missing
	keys   map[string]*yaml.Node
	values map[string]*yaml.Node
	asked  []string
}

// mapping reads node as a mapping; a nil node is an empty one.
func (r *reader) mapping(path string, at, node *yaml.Node) *mapping {
	m := &mapping{r: r, path: path, at: at, keys: map[string]*yaml.Node{}, values: map[string]*yaml.Node{}}
	if node == nil {
		return m
	}
	node = r.follow(node)
	if node.Kind != yaml.MappingNode {
		r.report(path, node, "indent its keys below it, as in \"key: value\"", "wants a mapping, got %s", kind(node))
		return m
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			r.report(join(path, "?"), key, "write plain keys", "a key is %s", kind(key))
			continue
		}
		if first, twice := m.keys[key.Value]; twice {
			r.report(join(path, clip(key.Value)), key, "keep one of the two",
				"stands here a second time, first in line %d", first.Line)
			continue
		}
		m.keys[key.Value], m.values[key.Value] = key, value
	}
	return m
}

// get returns the value of key, nil if it is absent.
func (m *mapping) get(key string) *yaml.Node {
	if !slices.Contains(m.asked, key) {
		m.asked = append(m.asked, key)
	}
	n := m.values[key]
	if n == nil {
		return nil
	}
	n = m.r.follow(n)
	m.r.where[join(m.path, key)] = n
	return n
}

// scalar returns the text of key, false if it is absent or no single value.
func (m *mapping) scalar(key string) (*yaml.Node, bool) {
	n := m.get(key)
	switch {
	case n == nil:
		return nil, false
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null":
		m.problem(key, "give it a single value or leave the key out", "wants a single value, got %s", kind(n))
		return nil, false
	}
	return n, true
}

// problem reports the value of key.
func (m *mapping) problem(key, hint, format string, args ...any) {
	n, _ := m.r.place(join(m.path, key))
	if m.values[key] == nil {
		n = m.at
	}
	m.r.report(join(m.path, key), n, hint, format, args...)
}

// text returns a value as it is written.
func (m *mapping) text(key string) string {
	n, ok := m.scalar(key)
	if !ok {
		return ""
	}
	return n.Value
}

// need is text of a key that must be there and not be empty.
func (m *mapping) need(key, hint string) string {
	m.get(key)
	if m.values[key] == nil {
		m.problem(key, hint, "is missing")
		return ""
	}
	s, told := m.text(key), m.r.bad[join(m.path, key)]
	if s == "" && !told {
		m.problem(key, hint, "is empty")
	}
	return s
}

// word returns one of choices, "" if the key is absent or holds another.
func (m *mapping) word(key string, choices ...string) string {
	n, ok := m.scalar(key)
	if !ok {
		return ""
	}
	if slices.Contains(choices, n.Value) {
		return n.Value
	}
	hint := "choose one of " + strings.Join(choices, ", ")
	if near := nearest(n.Value, choices); near != "" {
		hint = fmt.Sprintf("did you mean %q? known: %s", near, strings.Join(choices, ", "))
	}
	m.problem(key, hint, "%q is not known", clip(n.Value))
	return ""
}

// size returns bytes, at least 1; 0 if the key is absent.
func (m *mapping) size(key string) int64 {
	n, ok := m.sizeOrZero(key)
	if ok && n == 0 {
		m.problem(key, "leave the key out for the default", "must be greater than 0")
	}
	return n
}

// sizeOrZero returns bytes and whether the key holds a size.
func (m *mapping) sizeOrZero(key string) (int64, bool) {
	n, ok := m.scalar(key)
	if !ok {
		return 0, false
	}
	size, err := parseSize(n.Value)
	if err != nil {
		m.problem(key, sizeHint, "%q %v", clip(n.Value), err)
		return 0, false
	}
	return size, true
}

// duration returns a time greater than 0; 0 if the key is absent.
func (m *mapping) duration(key string) time.Duration {
	d, ok := m.durationOrZero(key)
	if ok && d == 0 {
		m.problem(key, "leave the key out for the default", "must be greater than 0")
	}
	return d
}

// durationOrZero returns a time and whether the key holds one.
func (m *mapping) durationOrZero(key string) (time.Duration, bool) {
	n, ok := m.scalar(key)
	if !ok {
		return 0, false
	}
	d, err := parseDuration(n.Value)
	if err != nil {
		m.problem(key, durationHint, "%q %v", clip(n.Value), err)
		return 0, false
	}
	return d, true
}

// integer returns a whole number greater than 0; 0 if the key is absent.
func (m *mapping) integer(key string) int {
	n, ok := m.scalar(key)
	if !ok {
		return 0
	}
	i, err := strconv.ParseInt(n.Value, 10, 32)
	if err != nil || i <= 0 {
		m.problem(key, "write it in decimal digits, without a unit", "%q is not a whole number greater than 0", clip(n.Value))
		return 0
	}
	return int(i)
}

// yes returns true or false; false if the key is absent.
func (m *mapping) yes(key string) bool {
	n, ok := m.scalar(key)
	if !ok {
		return false
	}
	if n.Tag != "!!bool" {
		m.problem(key, "write true or false", "%q is neither true nor false", clip(n.Value))
	}
	return n.Tag == "!!bool" && strings.EqualFold(n.Value, "true")
}

// mapping returns the mapping below key, an empty one if the key is absent.
func (m *mapping) mapping(key string) *mapping {
	n := m.get(key)
	at := n
	if at == nil {
		at = m.at
	}
	return m.r.mapping(join(m.path, key), at, n)
}

// list returns the mappings of the list below key.
func (m *mapping) list(key, hint string) []*mapping {
	n := m.get(key)
	path := join(m.path, key)
	switch {
	case n == nil:
		m.problem(key, hint, "is missing")
		return nil
	case n.Kind != yaml.SequenceNode:
		m.r.report(path, n, "start each entry with \"- \"", "wants a list, got %s", kind(n))
		return nil
	case len(n.Content) == 0:
		m.r.report(path, n, hint, "is empty")
		return nil
	case len(n.Content) > maxList:
		m.r.report(path, n, "run a second dray on another state folder", "has %d entries, at most %d are allowed", len(n.Content), maxList)
		return nil
	}
	entries := make([]*mapping, len(n.Content))
	for i, c := range n.Content {
		p := fmt.Sprintf("%s[%d]", path, i)
		m.r.where[p] = c
		entries[i] = m.r.mapping(p, c, c)
	}
	return entries
}

// done reports the keys that nobody asked for.
func (m *mapping) done() {
	for name, key := range m.keys {
		if slices.Contains(m.asked, name) {
			continue
		}
		hint := "known here: " + strings.Join(m.asked, ", ")
		if near := nearest(name, m.asked); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		} else if name == "<<" {
			hint = "merge keys are not read; use an alias for a whole value"
		}
		m.r.report(join(m.path, clip(name)), key, hint, "unknown key")
	}
}
