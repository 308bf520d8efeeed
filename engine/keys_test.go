package engine

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

var keyTime = time.Date(2026, 3, 1, 23, 30, 0, 0, time.FixedZone("east", -7200)) // 2 March, 01:30 UTC

func TestKeysAreOfFixedWidthAndInUTC(t *testing.T) {
	tests := []struct{ template, want string }{
		{DefaultKey, "gw-17/gps/2026/03/02/gps-00c0ffee00c0ffee-00000000000000004096.log"},
		{"{epoch}/{hh}/{start}", "00c0ffee00c0ffee/01/00000000000000004096"},
		{"a.b/..c/{stream}.{epoch}{start}", "a.b/..c/gps.00c0ffee00c0ffee00000000000000004096"},
	}
	for _, tt := range tests {
		k, err := parseKey(tt.template)
		if err != nil {
			t.Fatalf("parseKey(%q): %v", tt.template, err)
		}
		if got := k.Execute("gw-17", "gps", "00c0ffee00c0ffee", 4096, 8192, keyTime); got != tt.want {
			t.Errorf("%q:\n got %s\nwant %s", tt.template, got, tt.want)
		}
	}
}

func TestDeviceNamesStayDifferentAndMakeNoFolder(t *testing.T) {
	tests := []struct{ device, want string }{
		{"gw-17.example_org", "gw-17.example_org"},
		{"", "%"},
		{".", "%2E"},
		{"..", "%2E%2E"},
		{"../etc", "..%2Fetc"},
		{"a b", "a%20b"},
		{"a%20b", "a%2520b"},
		{"Zürich", "Z%C3%BCrich"},
		{"a\x00\xff", "a%00%FF"},
	}
	for _, tt := range tests {
		if got := keyDevice(tt.device); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.device, got, tt.want)
		}
	}
}

func TestAnOddClockDoesNotChangeTheWidthOfKeys(t *testing.T) {
	k, err := parseKey("{yyyy}/{epoch}-{start}")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		year int
		want string
	}{{-5, "0000/"}, {12026, "9999/"}} {
		got := k.Execute("d", "s", "0123456789abcdef", 0, 1, time.Date(tt.year, 6, 1, 0, 0, 0, 0, time.UTC))
		if !strings.HasPrefix(got, tt.want) {
			t.Errorf("year %d: got %q, want it to begin with %q", tt.year, got, tt.want)
		}
	}
}

func TestBadTemplatesSayWhatIsWrongAndWhatToDo(t *testing.T) {
	tests := []struct{ template, problem, hint string }{
		{"", "empty", DefaultKey},
		{"{stream}/{epoch}", "lacks {start}", "put {epoch} and {start}"},
		{"{stream}/{start}", "lacks {epoch}", "put {epoch} and {start}"},
		{"{strem}/{epoch}-{start}", "{strem} is not known", "{stream}"},
		{"{YYYY}/{epoch}-{start}", "{YYYY} is not known", "{yyyy}"},
		{"{hour}/{epoch}-{start}", "{hour} is not known", "{hh}"},
		{"{zebra}/{epoch}-{start}", "{zebra} is not known", "known are {device}"},
		{"{}/{epoch}-{start}", "{} is not known", "known are"},
		{"{epoch}-{start", "{ without its }", "braces"},
		{"{epoch}-start}", "} without its {", "braces"},
		{"{{epoch}}-{start}", "{{epoch} is not known", "{epoch}"},
		{"/{epoch}-{start}", "begins or ends with /", "extra /"},
		{"{epoch}-{start}/", "begins or ends with /", "extra /"},
		{"a//{epoch}-{start}", "//", "extra /"},
		{"./{epoch}-{start}", `"."`, "folder"},
		{"a/../{epoch}-{start}", `".."`, "folder"},
		{"a\n{epoch}-{start}", "control character at byte 2", "out"},
		{"\xff{epoch}-{start}", "UTF-8", "UTF-8"},
		{strings.Repeat("a", 1020) + "{epoch}-{start}", "too long", "at most"},
	}
	for _, tt := range tests {
		_, err := parseKey(tt.template)
		var ce *ConfigError
		if !errors.As(err, &ce) {
			t.Errorf("%q: got error %v, want a *ConfigError", tt.template, err)
			continue
		}
		if !strings.Contains(ce.Problem, tt.problem) || !strings.Contains(ce.Hint, tt.hint) {
			t.Errorf("%q: got %q, hint %q; want them to hold %q, %q", tt.template, ce.Problem, ce.Hint, tt.problem, tt.hint)
		}
	}
}

func TestKeysThatNoServerTakesAreRefused(t *testing.T) {
	tests := []struct {
		template, device string
		ok               bool
	}{
		{DefaultKey, "gw-17", true},
		{"{device}-{epoch}-{start}", strings.Repeat("d", 196), true}, // 255 bytes, of a slice
		{"{device}-{epoch}-{start}", strings.Repeat("d", 218), false},
		{"{device}/{epoch}-{start}", strings.Repeat("ü", 43), false}, // six bytes each
		{strings.Repeat("{device}/", 60) + "{epoch}-{start}", "gw-17-in-the-field", false},
	}
	for _, tt := range tests {
		k, err := parseKey(tt.template)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.checkSize(tt.device, "s"); (err == nil) != tt.ok {
			t.Errorf("%.40q, device of %d bytes: got %v, want ok %v", tt.template, len(tt.device), err, tt.ok)
		}
	}
}

func TestTwoStreamsCannotMeetInOneKey(t *testing.T) {
	tests := []struct {
		a, streamA, b, streamB string
		want                   bool
	}{
		{DefaultKey, "gps", DefaultKey, "imu", false},
		{DefaultKey, "a1", DefaultKey, "a2", false},
		{"{epoch}-{start}", "gps", "{epoch}-{start}", "imu", true},
		{"gps/{epoch}-{start}", "gps", "imu/{epoch}-{start}", "imu", false},
		{"{stream}-{epoch}-{start}", "gps", "{epoch}-{start}-{stream}", "imu", false},
		{"{stream}/{epoch}-{start}", "07", "{hh}/{epoch}-{start}", "imu", true},
		{"{stream}/{epoch}-{start}", "zz", "{hh}/{epoch}-{start}", "imu", false},
		{"{epoch}/{start}", "a", "{yyyy}/{epoch}/{start}", "b", false},
		{"{start}/{epoch}", "a", "{start}-00000000000000000007/{epoch}", "b", true}, // a slice of a's, a whole one of b's
	}
	for _, tt := range tests {
		a, errA := parseKey(tt.a)
		b, errB := parseKey(tt.b)
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		if got := a.canMeet("d", tt.streamA, b, tt.streamB); got != tt.want {
			t.Errorf("%q of %s and %q of %s: got %v, want %v", tt.a, tt.streamA, tt.b, tt.streamB, got, tt.want)
		}
	}
}

// FuzzKeys: what parseKey accepts makes clean, valid keys that differ when
// their start differs, for any device name and any clock.
func FuzzKeys(f *testing.F) {
	f.Add(DefaultKey, "gw-17", int64(0), int64(1772000000))
	f.Add("{device}{device}/{epoch}.{start}", "..", int64(1<<40), int64(-1<<50))
	f.Add("a/..{hh}/{epoch}{start}", "\xff/\x00", int64(7), int64(1<<40))
	f.Add("{{start}}/{epoch", "", int64(7), int64(0))
	f.Fuzz(func(t *testing.T, template, device string, start, unix int64) {
		k, err := parseKey(template)
		if err != nil {
			var ce *ConfigError
			if !errors.As(err, &ce) || ce.Problem == "" || ce.Hint == "" {
				t.Fatalf("parseKey(%q): error %v without problem or hint", template, err)
			}
			return
		}
		start = max(start, 0)
		at := time.Unix(unix, 0)
		key := k.Execute(device, "gps", "0123456789abcdef", start, start+1, at)
		if !utf8.ValidString(key) || strings.IndexFunc(key, unicode.IsControl) >= 0 {
			t.Fatalf("%q: key %q has bytes that it must not have", template, key)
		}
		for name := range strings.SplitSeq(key, "/") {
			if name == "" || name == "." || name == ".." {
				t.Fatalf("%q: key %q is not clean", template, key)
			}
		}
		if other := k.Execute(device, "gps", "0123456789abcdef", start^1, start+1, at); other == key {
			t.Fatalf("%q: starts %d and %d share key %q", template, start, start^1, key)
		}
		if got, want := len(k.pattern(device, "gps")), len(key); got != want {
			t.Fatalf("%q: pattern has %d bytes, key %d", template, got, want)
		}
		slice := k.ofSlice().Execute(device, "gps", "0123456789abcdef", start, start+1, at)
		if other := k.ofSlice().Execute(device, "gps", "0123456789abcdef", start, start+2, at); slice == other || len(slice) == len(key) {
			t.Fatalf("%q: slices have the keys %q and %q, the whole %q", template, slice, other, key)
		}
		if !k.match(device, "gps", slice) {
			t.Fatalf("%q: the key %q is not known as a slice's", template, slice)
		}
		if err := k.checkSize(device, "gps"); err == nil && len(key) > maxKey {
			t.Fatalf("%q: key of %d bytes passed", template, len(key))
		}
	})
}
