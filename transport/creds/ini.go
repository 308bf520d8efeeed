package creds

import (
	"bytes"
	"fmt"
	"strings"
)

// A section is the values below one "[name]", by name in lower case.
type section map[string]string

// Bounds of a file in INI form; its size is bounded by read.
const (
	maxSections = 1 << 10
	maxLine     = 32 << 10 // a session token has some KiB
)

// parseINI reads the form of AWS's shared files: sections, lines "name = value",
// comments behind # or ;. Lines before the first section count as the default
// one, "export" in front and quotes around a value are dropped, and so is what is
// indented below a name without a value (settings within settings). Of a name that
// stands twice the last counts. Its errors give a line and repeat nothing of it.
func parseINI(text []byte) (map[string]section, error) {
	name, nested := "default", false
	sections := map[string]section{name: {}}
	n := 0
	for raw := range bytes.Lines(text) {
		n++
		if len(raw) > maxLine {
			return nil, fmt.Errorf("line %d is longer than %d KiB", n, maxLine>>10)
		}
		indented := raw[0] == ' ' || raw[0] == '\t'
		line := strings.TrimSpace(string(raw))
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
			continue
		case line[0] == '[':
			end := strings.IndexByte(line, ']')
			if end < 0 {
				return nil, fmt.Errorf("line %d is not of the form [section]", n)
			}
			name, nested = strings.Join(strings.Fields(line[1:end]), " "), false
			if sections[name] == nil {
				sections[name] = section{}
			}
			if len(sections) > maxSections {
				return nil, fmt.Errorf("line %d begins more than %d sections", n, maxSections)
			}
			continue
		case indented && nested:
			continue
		}
		key, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if !ok {
			return nil, fmt.Errorf("line %d is not of the form name = value", n)
		}
		value = unquote(strings.TrimSpace(value))
		nested = value == ""
		sections[name][strings.ToLower(strings.TrimSpace(key))] = value
	}
	return sections, nil
}

// unquote drops quotes around the whole of a value; of one without, the comment
// behind it.
func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && strings.IndexByte(s[1:], s[0]) == len(s)-2 {
		return s[1 : len(s)-1]
	}
	for _, comment := range []string{" #", " ;", "\t#", "\t;"} {
		s, _, _ = strings.Cut(s, comment)
	}
	return strings.TrimSpace(s)
}

// keys returns the keys that a section holds; names may go without "aws_".
func (s section) keys() Keys {
	get := func(name string) string {
		if v := s["aws_"+name]; v != "" {
			return v
		}
		return s[name]
	}
	return Keys{
		AccessKeyID:     get("access_key_id"),
		SecretAccessKey: NewSecret(get("secret_access_key")),
		SessionToken:    NewSecret(get("session_token")),
	}
}
