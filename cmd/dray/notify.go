package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// A notifier tells the service manager how the daemon fares, in the datagrams
// of sd_notify(3). Without NOTIFY_SOCKET it does nothing.
type notifier struct {
	socket   string
	watchdog time.Duration // tell "WATCHDOG=1" at least this often; 0: never
}

// newNotifier reads what systemd put into the environment of process pid.
func newNotifier(env func(string) string, pid int) notifier {
	n := notifier{socket: env("NOTIFY_SOCKET")}
	owner := env("WATCHDOG_PID")
	if usec, err := strconv.ParseInt(env("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 &&
		n.socket != "" && (owner == "" || owner == strconv.Itoa(pid)) {
		n.watchdog = time.Duration(usec) * time.Microsecond / 2 // half, as sd_watchdog_enabled(3) advises
	}
	return n
}

// send tells state, such as "READY=1". A name that begins with @ is abstract,
// which net knows.
func (n notifier) send(state string) error {
	if n.socket == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", n.socket)
	if err != nil {
		return fmt.Errorf("notify %s: %w", state, err)
	}
	_, err = conn.Write([]byte(state))
	if err = errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("notify %s: %w", state, err)
	}
	return nil
}
