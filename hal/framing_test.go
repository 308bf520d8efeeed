package hal

import (
	"strings"
	"testing"
)

func TestCheckNamesWhatIsWrongWithAFraming(t *testing.T) {
	for _, tt := range []struct {
		f    Framing
		want string // part of the error; "" for none
	}{
		{Framing{}, ""},
		{Framing{Kind: "raw"}, ""},
		{Framing{Kind: "lines", Max: 1}, ""},
		{Framing{Kind: "lines", Max: MaxRecord}, ""},
		{Framing{Kind: "fixed", Size: 1}, ""},
		{Framing{Kind: "fixed", Size: DefaultMaxRecord}, ""},
		{Framing{Kind: "length", Size: 4, LittleEndian: true}, ""},
		{Framing{Kind: "line"}, "unknown kind"},
		{Framing{Kind: "lines", Max: -1}, "max is -1"},
		{Framing{Kind: "lines", Max: MaxRecord + 1}, "max is 1048577"},
		{Framing{Kind: "lines", Size: 3}, "size is only for fixed and length"},
		{Framing{Kind: "raw", LittleEndian: true}, "little-endian is only for length"},
		{Framing{Kind: "fixed"}, "say how many bytes"},
		{Framing{Kind: "fixed", Size: -1}, "size is -1"},
		{Framing{Kind: "fixed", Size: DefaultMaxRecord + 1}, "raise max"},
		{Framing{Kind: "length"}, "1, 2 or 4"},
		{Framing{Kind: "length", Size: 3}, "1, 2 or 4"},
		{Framing{Kind: "length", Size: 4, Max: 4}, "raise max"},
	} {
		err := tt.f.Check()
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%+v: Check() = %v, want nil", tt.f, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%+v: Check() = %v, want it to say %q", tt.f, err, tt.want)
		}
	}
}
