package creds

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/seed-7270d448/dray/transport"
)

// hushed are the forms in which the secret "hush" could come out.
var hushed = []string{"hush", "68757368", "104 117 115 104", "0x68, 0x75"}

// shown is all that printing and logging make of v.
func shown(t *testing.T, v any) string {
	t.Helper()
	var out bytes.Buffer
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, format+"\n", v)
	}
	text, err := json.Marshal(v)
	if err != nil {
		text = []byte(err.Error())
	}
	out.Write(text)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v, "in", struct{ V any }{v})
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	return out.String()
}

func TestNoSecretIsEverPrinted(t *testing.T) {
	keys := Keys{AccessKeyID: "id", SecretAccessKey: NewSecret("hush"), SessionToken: NewSecret("hush-token")}
	used := NewProvider(Static{keys})
	if _, err := used.Retrieve(t.Context()); err != nil {
		t.Fatal(err)
	}
	var e error = fail(transport.Denied, "%s: %v", Static{keys}, keys)
	for name, v := range map[string]any{
		"secret":            keys.SecretAccessKey,
		"secret in a field": struct{ s Secret }{keys.SecretAccessKey},
		"keys":              keys,
		"pointer":           &keys,
		"held":              &held{keys: keys},
		"static":            Static{keys},
		"provider":          used,
		"provider's value":  used.have,
		"settings":          settings{keys: keys},
		"process":           Process{Command: NewCommand("helper", "--pin", "hush")},
		"provider of one":   NewProvider(Process{Command: NewCommand("helper", "--pin", "hush")}),
		"profile of one":    settings{process: &Process{Command: NewCommand("helper", "hush")}},
		"error":             e,
	} {
		text := shown(t, v)
		for _, h := range hushed {
			if strings.Contains(text, h) {
				t.Errorf("%s shows it: %s", name, text)
			}
		}
	}
	if got := keys.SecretAccessKey.Reveal(); got != "hush" {
		t.Errorf("revealed %q", got)
	}
	if got := (Secret{}).Reveal(); got != "" {
		t.Errorf("the zero Secret reveals %q", got)
	}
}
