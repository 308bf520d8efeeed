package creds

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

// Secret is text that must not be shown: every way of printing it yields
// "[secret]". Only Reveal gives it out. The zero value is empty.
//
// The text is behind a pointer, since fmt calls no methods on unexported
// fields: of a Secret in such a field it prints an address at worst.
type Secret struct{ text *string }

const hidden = "[secret]"

// NewSecret hides s.
func NewSecret(s string) Secret { return Secret{&s} }

// Reveal returns the text, for the client that signs with it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String returns "[secret]".
func (Secret) String() string { return hidden }

// Format writes "[secret]", whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, hidden) }

// MarshalJSON returns "[secret]" as JSON.
func (Secret) MarshalJSON() ([]byte, error) { return json.Marshal(hidden) }

// MarshalText returns "[secret]".
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue returns "[secret]".
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }
