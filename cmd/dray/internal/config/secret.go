package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

// Secret is text that must not be shown: every way of printing it yields
// "[secret]". Only reveal gives it out, to the client that signs with it.
type Secret string

const hidden = "[secret]"

// String returns "[secret]".
func (Secret) String() string { return hidden }

// Format writes "[secret]", whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, hidden) }

// MarshalJSON returns "[secret]" as JSON; MarshalText and LogValue likewise.
func (Secret) MarshalJSON() ([]byte, error) { return json.Marshal(hidden) }

// MarshalText returns "[secret]".
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue returns "[secret]".
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

func (s Secret) reveal() string { return string(s) }
