package s3

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/transporttest"
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

func TestACheckedBodyNeverEndsWell(t *testing.T) {
	b := transporttest.Bytes(1, 100_000)
	crc := crc32.Checksum(b, transport.Castagnoli)
	for name, body := range map[string]*transporttest.Body{
		"wrong first byte": {Reader: bytes.NewReader(b), Bad: true},
		"wrong last byte":  {Reader: bytes.NewReader(b), Bad: true, BadAt: int64(len(b)) - 1},
		"early end":        {Reader: bytes.NewReader(b), Err: io.EOF, FailAt: int64(len(b)) - 1},
		"read error":       {Reader: bytes.NewReader(b), Err: io.ErrClosedPipe, FailAt: 5},
	} {
		c, err := newChecked(body, int64(len(b)), crc)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if err == nil || len(got) == len(b) || c.sent() {
			t.Errorf("%s: %d of %d bytes went out, %v", name, len(got), len(b), err)
		}
		if _, again := c.Read(make([]byte, 1)); again == nil || !errors.Is(again, c.err) {
			t.Errorf("%s: reading on gives %v, want the first error", name, again)
		}
	}
	if _, err := newChecked(transporttest.NewBody(b), 5, crc); err == nil {
		t.Error("body of another size: no error")
	}
}

func TestACheckedBodyCanBeMeasuredAndRewound(t *testing.T) {
	b := transporttest.Bytes(1, 1000)
	c, err := newChecked(transporttest.NewBody(b), 1000, crc32.Checksum(b, transport.Castagnoli))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, s := range []struct {
			offset int64
			whence int
			want   int64
		}{{0, io.SeekCurrent, -1}, {0, io.SeekEnd, 1000}, {0, io.SeekStart, 0}} {
			if got, err := c.Seek(s.offset, s.whence); err != nil || s.want >= 0 && got != s.want {
				t.Errorf("Seek(%d, %d) = %d, %v, want %d", s.offset, s.whence, got, err, s.want)
			}
		}
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, b) || !c.sent() {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
	}
	if _, err := c.Seek(5, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, errOutOfOrder) {
		t.Errorf("read from the middle: %v, want it refused", err)
	}
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
