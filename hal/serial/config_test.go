package serial

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestABadConfigSaysWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{Baud: 9600}, "port is empty"},
		{Config{Port: "ttyUSB0", Baud: 9600}, "not an absolute path"},
		{Config{Port: "/dev/ttyUSB0"}, "baud is missing"},
		{Config{Port: "/dev/ttyUSB0", Baud: -1}, "baud is -1"},
		{Config{Port: "/dev/ttyUSB0", Baud: maxBaud + 1}, "it must be 1 to"},
		{Config{Port: "/dev/ttyUSB0", Baud: 9600, DataBits: 9}, "data bits are 9"},
		{Config{Port: "/dev/ttyUSB0", Baud: 9600, DataBits: -1}, "data bits are -1"},
		{Config{Port: "/dev/ttyUSB0", Baud: 9600, Parity: "Even"}, "use none, odd, even, mark or space"},
		{Config{Port: "/dev/ttyUSB0", Baud: 9600, StopBits: "3"}, "use 1, 1.5 or 2"},
		{Config{Port: "/dev/ttyUSB0", Baud: 9600, StopBits: "1.5"}, "only with 5 data bits"},
		{Config{Port: "/dev/ttyUSB0", Baud: 9600, StopBits: "2", DataBits: 5}, "use 1 or 1.5"},
		{Config{Port: "/dev/ttyUSB0", Baud: 9600, Flow: "dtrdsr"}, "use none, rtscts or xonxoff"},
	} {
		if _, err := New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New(%+v) = %v, want it to say %q", tt.cfg, err, tt.want)
		}
	}
}

func TestTheDefaultIs8N1WithoutFlowControl(t *testing.T) {
	got, err := Config{Port: "/dev/ttyUSB0", Baud: 9600}.withDefaults()
	want := Config{Port: "/dev/ttyUSB0", Baud: 9600, DataBits: 8, Parity: "none", StopBits: "1", Flow: "none"}
	if err != nil || got != want {
		t.Errorf("withDefaults = %+v, %v; want %+v", got, err, want)
	}
}

func TestSettingsThatThePortDidNotAcceptAreNamed(t *testing.T) {
	cfg, err := Config{Port: "/dev/ttyUSB0", Baud: 921600, Parity: "even", Flow: "rtscts"}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	good := unix.Termios{Cflag: unix.CS8 | unix.PARENB | unix.CRTSCTS, Ospeed: 921600}
	for _, tt := range []struct {
		name   string
		change func(*unix.Termios)
		want   string // "" for accepted
	}{
		{"all", func(*unix.Termios) {}, ""},
		{"a rate within 2 %", func(t *unix.Termios) { t.Ospeed = 923076 }, ""},
		{"another rate", func(t *unix.Termios) { t.Ospeed = 9600 }, "asked for 921600 baud, the port runs at 9600"},
		{"a faster rate", func(t *unix.Termios) { t.Ospeed = 1_000_000 }, "asked for 921600 baud, the port runs at 1000000"},
		{"7 data bits", func(t *unix.Termios) { t.Cflag = t.Cflag&^unix.CSIZE | unix.CS7 }, "did not accept data bits 8"},
		{"no parity", func(t *unix.Termios) { t.Cflag &^= unix.PARENB }, "did not accept parity even"},
		{"odd parity", func(t *unix.Termios) { t.Cflag |= unix.PARODD }, "did not accept parity even"},
		{"two stop bits", func(t *unix.Termios) { t.Cflag |= unix.CSTOPB }, "did not accept stop bits 1"},
		{"no flow control", func(t *unix.Termios) { t.Cflag &^= unix.CRTSCTS }, "did not accept flow rtscts"},
		{"translation", func(t *unix.Termios) { t.Iflag |= unix.ICRNL }, "did not accept raw mode"},
	} {
		got := good
		tt.change(&got)
		err := cfg.accepted(&got)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v, want accepted", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want it to say %q", tt.name, err, tt.want)
		}
	}
}

func TestCountersThatWrapStillCount(t *testing.T) {
	before := counters{Frame: 1, Overrun: 1<<31 - 1, Parity: 5, BufOverrun: -1, RX: 7, Break: 1}
	now := counters{Frame: 2, Overrun: -1 << 31, Parity: 8, BufOverrun: 9, RX: 900, Break: 4}
	if got, want := now.lostSince(before), int64(1+1+3+10); got != want {
		t.Errorf("lostSince = %d, want %d", got, want)
	}
}
