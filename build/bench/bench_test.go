package main

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestSizesAreReadWithTheirUnits(t *testing.T) {
	tests := []struct {
		in   string
		want int64
		ok   bool
	}{
		{"1GiB", 1 << 30, true}, {"5MiB", 5 << 20, true}, {"64KiB", 64 << 10, true}, {"100", 100, true},
		{"", 0, false}, {"-1MiB", 0, false}, {"5MB", 0, false}, {"9999999GiB", 0, false}, {"MiB", 0, false},
	}
	for _, tt := range tests {
		var b byteSize
		err := b.Set(tt.in)
		if int64(b) != tt.want || (err == nil) != tt.ok {
			t.Errorf("%q: got %d, %v; want %d, ok %v", tt.in, b, err, tt.want, tt.ok)
		}
		if tt.ok && b.String() != tt.in {
			t.Errorf("%q: written back as %q", tt.in, b.String())
		}
	}
}

func TestPeakMemoryIsTheChildsOwn(t *testing.T) {
	ballast := bytes.Repeat([]byte{1}, 64<<20) // what ru_maxrss would show
	peak, _, err := runWatched(exec.Command("sleep", "0.2"))
	if err != nil {
		t.Fatal(err)
	}
	if peak <= 0 || peak > int64(len(ballast))/2 {
		t.Errorf("got %d bytes for sleep", peak)
	}
}

func TestFieldsOfProcAreRead(t *testing.T) {
	text := []byte("Name:\tdray\nVmHWM:\t   17408 kB\nrchar: 2147483648\nwchar: many\n")
	for _, tt := range []struct {
		name, unit string
		want       int64
	}{{"VmHWM:", " kB", 17408}, {"rchar:", "", 2147483648}, {"wchar:", "", 0}, {"syscr:", "", 0}} {
		if got := field(text, tt.name, tt.unit); got != tt.want {
			t.Errorf("%s got %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestTheTableHasRatiosWithinAScheme(t *testing.T) {
	var b strings.Builder
	printTable(&b, 1<<30, []row{
		{name: "curl, one PUT", cpu: time.Second, wall: time.Second},
		{name: "dray, parts of 5MiB", cpu: 3 * time.Second, wall: time.Second},
		{name: "dray, parts of 5MiB", secure: true, cpu: 4 * time.Second, wall: time.Second},
	})
	lines := strings.Split(b.String(), "\n")
	if got := strings.Fields(lines[3]); got[len(got)-2] != "3.00" || got[len(got)-1] != "-" {
		t.Errorf("dray over http: got ratios %v, want 3.00 and -", got[len(got)-2:])
	}
	if got := strings.Fields(lines[4]); got[len(got)-2] != "-" {
		t.Errorf("dray over https: got ratio %v to a curl that was not measured over https", got[len(got)-2])
	}
}
