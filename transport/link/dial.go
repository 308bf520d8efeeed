package link

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unsent bounds what the kernel takes of a connection beyond what it has sent:
// what is there when a request ends in vain was read and encrypted for nothing.
const unsent = 64 << 10

// dial connects. Each address that it tries is asked for at the meter first,
// before the first packet.
func (t *Transport) dial(ctx context.Context, limit time.Duration, network, addr string) (net.Conn, error) {
	var (
		mu    sync.Mutex
		tries []string // the interface of each
	)
	// A reply on its way when the far side has died is the watch's business; this
	// is for what nobody watches.
	patience := int(starve * t.stall / time.Millisecond)
	dialer := &net.Dialer{Timeout: limit, KeepAliveConfig: alive, Control: func(_, to string, raw syscall.RawConn) error {
		// Options that a kernel does not know are left out: they only help.
		err := raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, patience)
		})
		if err != nil || t.meter == nil {
			return err
		}
		iface := routeTo(to)
		t.iface.Store(&iface)
		if err := t.meter.Take(iface, openCost); err != nil {
			return fmt.Errorf("%w: %w", ErrSpent, err)
		}
		mu.Lock()
		defer mu.Unlock()
		tries = append(tries, iface)
		return nil
	}}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	began := time.Now()
	self := &dialing{began, end}
	t.mu.Lock()
	t.dials[self] = struct{}{}
	t.mu.Unlock()
	raw, err := dialer.DialContext(ctx, network, addr)
	t.mu.Lock()
	delete(t.dials, self)
	t.mu.Unlock()
	mu.Lock()
	defer mu.Unlock()
	won := -1
	var c *conn
	if err == nil {
		t.connections.Add(1)
		c = &conn{Conn: raw, link: t, opened: began, closed: make(chan struct{})}
		if t.meter != nil {
			c.iface = interfaceOf(raw.LocalAddr())
		}
	}
	for i, iface := range tries {
		if c != nil && won < 0 && iface == c.iface {
			won, c.charged = i, openCost
			continue
		}
		t.meter.Settle(iface, failCost-openCost, began)
	}
	if err != nil {
		return nil, ended(ctx, err)
	}
	t.mu.Lock()
	t.conns[c] = struct{}{}
	t.mu.Unlock()
	return c, nil
}

// A dialing is a try to connect that is under way.
type dialing struct {
	began time.Time
	end   context.CancelCauseFunc
}

func (t *Transport) forget(c *conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
}

// Interface names the network interface that the last connection went through,
// or would have if the meter had let it; empty if none is known since the
// network changed, or if there is no meter.
func (t *Transport) Interface() string {
	if p := t.iface.Load(); p != nil {
		return *p
	}
	return ""
}

// routeTo names the interface on the way to an address with a port; empty if
// there is none. It sends nothing: a datagram socket only looks up the route.
func routeTo(address string) string {
	c, err := net.Dial("udp", address)
	if err != nil {
		return ""
	}
	defer c.Close() // nothing was written
	return interfaceOf(c.LocalAddr())
}

// interfaceOf names the interface that has a local address; empty if none has.
func interfaceOf(local net.Addr) string {
	ip := ipOf(local)
	list, err := net.Interfaces()
	if err != nil || !ip.IsValid() {
		return ""
	}
	for _, i := range list {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, a := range addrs {
			if ipOf(a) == ip {
				return i.Name
			}
		}
	}
	return ""
}

// ipOf returns the address without zone and port, the zero Addr if there is none.
func ipOf(a net.Addr) netip.Addr {
	var ip net.IP
	switch a := a.(type) {
	case *net.TCPAddr:
		ip = a.IP
	case *net.UDPAddr:
		ip = a.IP
	case *net.IPNet:
		ip = a.IP
	}
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}

func isIPv4(a net.Addr) bool { return ipOf(a).Is4() }
