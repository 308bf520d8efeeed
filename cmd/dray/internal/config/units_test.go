package config

import (
	"testing"
	"time"
)

func TestSizesNeedAUnit(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int64
		err  string
	}{
		{"0", 0, ""}, {"64MiB", 64 << 20, ""}, {"256KB", 256e3, ""}, {"10GiB", 10 << 30, ""}, {"1 KiB", 1 << 10, ""}, {"7B", 7, ""},
		{"8TiB", 8 << 40, ""}, {"8388607TiB", 8388607 << 40, ""},
		{"64", 0, "has no unit"}, {"64M", 0, `has the unknown unit "M"`}, {"64mib", 0, `has the unknown unit "mib"`},
		{"", 0, "is not a size"}, {"MiB", 0, "is not a size"}, {"1.5GiB", 0, "is not a size"}, {"+1KiB", 0, "is not a size"}, {"0x10KiB", 0, "is not a size"},
		{"-1KiB", 0, "is negative"}, {"8388608TiB", 0, "is too great"}, {"99999999999999999999B", 0, "is too great"},
	} {
		got, err := parseSize(c.in)
		if got != c.want || message(err) != c.err {
			t.Errorf("%q: got %d, %q, want %d, %q", c.in, got, message(err), c.want, c.err)
		}
	}
}

func TestDurationsNeedAUnit(t *testing.T) {
	for _, c := range []struct {
		in   string
		want time.Duration
		err  string
	}{
		{"0", 0, ""}, {"1s", time.Second, ""}, {"10m", 10 * time.Minute, ""}, {"24h", 24 * time.Hour, ""}, {"1h30m", 90 * time.Minute, ""},
		{"10", 0, "has no unit"}, {"1d", 0, "is not a duration"}, {"soon", 0, "is not a duration"}, {"-1s", 0, "is negative"},
	} {
		got, err := parseDuration(c.in)
		if got != c.want || message(err) != c.err {
			t.Errorf("%q: got %v, %q, want %v, %q", c.in, got, message(err), c.want, c.err)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestAMisspeltWordIsRecognised(t *testing.T) {
	words := []string{"max_bytes", "max_age", "part_size", "drop_oldest"}
	for in, want := range map[string]string{
		"partsize": "part_size", "maxbytes": "max_bytes", "drop_oldst": "drop_oldest", "colour": "", "": "",
	} {
		if got := nearest(in, words); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// Whatever the text: no panic, nothing negative, and a problem or a value.
func FuzzUnits(f *testing.F) {
	for _, s := range []string{"0", "64MiB", "1 KiB", "-1B", "9223372036854775807B", "8388608TiB", "1h30m", "-5s", "1e9s", "+", "٣KiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := parseSize(s); n < 0 || err != nil && n != 0 {
			t.Errorf("size %q: %d, %v", s, n, err)
		}
		if d, err := parseDuration(s); d < 0 || err != nil && d != 0 {
			t.Errorf("duration %q: %v, %v", s, d, err)
		}
	})
}
