package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of a config file. An alias is followed where it stands, never
// expanded, so a nest of aliases costs what it says on paper.
const (
	maxFile    = 1 << 20 // bytes
	maxAliases = 256     // followed in one file
	maxList    = 256     // entries of one list
)

// A reader walks the nodes of one file. It gathers problems rather than
// stopping at the first, and remembers where each field stands.
type reader struct {
	dir      string // of the config file; what it names is looked for there
	exposed  bool   // others than its owner can read the config file
	problems []Problem
	warnings []Problem
	where    map[string]*yaml.Node // field path, as "streams[0].object", to its value
	bad      map[string]bool       // field paths that have a problem
	aliases  int
	wires    wires
}

// report notes a problem of the field at path; n is where to point.
func (r *reader) report(path string, n *yaml.Node, hint, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if path != "" {
		text = path + ": " + text
	}
	r.bad[path] = true
	r.problems = append(r.problems, Problem{max(n.Line, 1), max(n.Column, 1), text, hint})
}

// warn notes what is right, and may not be wise.
func (r *reader) warn(path string, n *yaml.Node, text string) {
	r.warnings = append(r.warnings, Problem{max(n.Line, 1), max(n.Column, 1), path + ": " + text, ""})
}

// follow returns what an alias stands for, any other node itself.
func (r *reader) follow(n *yaml.Node) *yaml.Node {
	if n.Kind != yaml.AliasNode {
		return n
	}
	r.aliases++
	if r.aliases > maxAliases {
		if r.aliases == maxAliases+1 {
			r.report("", n, "write the values out", "more than %d aliases", maxAliases)
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: n.Line, Column: n.Column}
	}
	return n.Alias
}

// place returns the node of the field at path, or of the nearest field around
// it that stands in the file, and whether a problem of either was told already.
func (r *reader) place(path string) (n *yaml.Node, told bool) {
	for {
		told = told || r.bad[path]
		if n == nil {
			n = r.where[path]
		}
		if path == "" {
			return n, told
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}

// kind names what a node is, for a reader of errors.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "nothing"
		}
		return "a single value"
	}
	return "something else"
}

// join makes the path of a key.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
