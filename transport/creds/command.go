package creds

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Command is a program and its arguments. Since those may be secret, every way
// of printing it shows the program's name alone.
type Command struct{ words *[]string } // behind a pointer, as in Secret

const maxWords = 64

// NewCommand returns the command of these words, the program first.
func NewCommand(words ...string) Command { return Command{&words} }

// String returns the last element of the program's path.
func (c Command) String() string {
	if c.words == nil || len(*c.words) == 0 {
		return ""
	}
	return filepath.Base((*c.words)[0])
}

// Format writes String, whatever the verb.
func (c Command) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// MarshalText returns String.
func (c Command) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// argv returns the words, or says why they are no command.
func (c Command) argv() ([]string, error) {
	if c.words == nil || len(*c.words) == 0 || (*c.words)[0] == "" {
		return nil, errors.New("no program is named")
	}
	if len(*c.words) > maxWords {
		return nil, fmt.Errorf("has more than %d words", maxWords)
	}
	return *c.words, nil
}

// Check says whether it names a program.
func (c Command) Check() error {
	_, err := c.argv()
	return err
}

// SplitCommand splits a command line into words at white space outside double
// and single quotes. There is no shell: what only a shell could do (pipes,
// variables, redirection) is refused rather than passed on as a word. Its errors
// repeat nothing of the line.
func SplitCommand(line string) (Command, error) {
	var words []string
	var word strings.Builder
	var quote rune
	begun := false // a word has
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, begun = r, true
		case r == ' ' || r == '\t':
			if begun {
				words = append(words, word.String())
				word.Reset()
				begun = false
			}
		case strings.ContainsRune("|&;<>()$`*?~\\\n\r\x00", r):
			return Command{}, fmt.Errorf("%q is for a shell, and there is none; quote it, or name a script", r)
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if quote != 0 {
		return Command{}, errors.New("a quote is not closed")
	}
	if begun {
		words = append(words, word.String())
	}
	c := NewCommand(words...)
	return c, c.Check()
}
