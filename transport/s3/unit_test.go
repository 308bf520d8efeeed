package s3

import (
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMetadataComesBackFromAnyHeader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]string{"dray-x": rapid.OneOf(rapid.String(), rapid.StringMatching(`[ %=?a-f0-9]*`)).Draw(t, "value")}
		sent := encodeMetadata(want)
		if v := sent["dray-x"]; strings.TrimSpace(v) != v || strings.Contains(v, "  ") || strings.Contains(v, "=?") ||
			strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("sent %q: not fit for a header", v)
		}
		if got := decodeMetadata(sent); !maps.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func FuzzDecodeMetadata(f *testing.F) {
	for _, s := range []string{"", "%", "%4", "%41", "%zz", "a b", "100%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := decodeMetadata(map[string]string{"x": s})
		if again := decodeMetadata(encodeMetadata(once)); !maps.Equal(once, again) {
			t.Errorf("decoded %q, encoded and decoded again %q", once, again)
		}
	})
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	good := Config{Bucket: "b", Region: "eu-west-1", AccessKeyID: "id", SecretAccessKey: "hush"}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"bucket":                func(c *Config) { c.Bucket = "" },
		"bucket/":               func(c *Config) { c.Bucket = "a/b" },
		"region":                func(c *Config) { c.Region = "" },
		"endpoint scheme":       func(c *Config) { c.Endpoint = "ftp://host" },
		"endpoint host":         func(c *Config) { c.Endpoint = "https://" },
		"endpoint password":     func(c *Config) { c.Endpoint = "https://user:hush@host" },
		"endpoint nonsense":     func(c *Config) { c.Endpoint = "https://user:hush@%zz" },
		"endpoint query":        func(c *Config) { c.Endpoint = "https://host?x=y" },
		"prefix":                func(c *Config) { c.Prefix = "/abs" },
		"prefix up":             func(c *Config) { c.Prefix = "../up" },
		"part size":             func(c *Config) { c.PartSize = MinPartSize - 1 },
		"part size, large":      func(c *Config) { c.PartSize = MaxPartSize + 1 },
		"access key ID":         func(c *Config) { c.AccessKeyID = "" },
		"no secret, credential": func(c *Config) { c.SecretAccessKey = "" },
	} {
		c := good
		change(&c)
		_, err := New(c)
		if err == nil || !strings.HasPrefix(err.Error(), "s3 destination: ") || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want an error without the secret", name, err)
		}
	}
}
