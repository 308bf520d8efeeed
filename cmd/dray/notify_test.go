package main

import (
	"net"
	"path/filepath"
	"testing"
	"time"
)

func TestTheServiceManagerIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	n := newNotifier(func(name string) string { return map[string]string{"NOTIFY_SOCKET": path}[name] }, 7)
	if err := n.send("READY=1"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 64)
	size, err := manager.Read(got)
	if err != nil || string(got[:size]) != "READY=1" {
		t.Errorf("got %q, %v", got[:size], err)
	}
}

func TestTheWatchdogIsFedTwiceAsOftenAsAsked(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		want time.Duration
	}{
		{"asked", map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "60000000"}, 30 * time.Second},
		{"asked of us", map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, 30 * time.Second},
		{"asked of another", map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"}, 0},
		{"nonsense", map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "soon"}, 0},
		{"no manager", map[string]string{"WATCHDOG_USEC": "60000000"}, 0},
	} {
		if got := newNotifier(func(name string) string { return c.env[name] }, 7).watchdog; got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if err := newNotifier(func(string) string { return "" }, 7).send("READY=1"); err != nil {
		t.Errorf("without a manager: got %v", err)
	}
}
