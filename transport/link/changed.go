package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// ErrChanged is in the chain of the error of a request that was ended because
// the network changed under it.
var ErrChanged = errors.New("network changed")

// again is how long a connection may wait, after the network has changed, until
// TCP by itself tries to send again.
const again = 2 * time.Second

// Changed is to be called when interfaces, addresses or routes have changed. It
// ends the connections that cannot go on: those whose own address is gone, and
// those on which the kernel has lost heart, so that it would sit out the time
// to its next try although the way is free again; tries to connect among them.
func (t *Transport) Changed() {
	t.iface.Store(nil)
	t.mu.Lock()
	list := make([]*conn, 0, len(t.conns))
	for c := range t.conns {
		list = append(list, c)
	}
	for d := range t.dials {
		// It may wait half a minute until the kernel asks again.
		if time.Since(d.began) > again/2 {
			d.end(fmt.Errorf("%w while connecting", ErrChanged))
		}
	}
	t.mu.Unlock()
	if len(list) == 0 {
		return
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return // the watch finds out, only later
	}
	here := map[netip.Addr]bool{}
	for _, a := range own {
		here[ipOf(a)] = true
	}
	for _, c := range list {
		switch ip := ipOf(c.LocalAddr()); {
		case ip.IsValid() && !ip.IsLoopback() && !here[ip]:
			c.end(fmt.Errorf("%w: this device's address %v is gone", ErrChanged, ip))
		case c.sleeps():
			c.end(fmt.Errorf("%w while nothing came through", ErrChanged))
		}
	}
}

// sleeps says that bytes wait for a retransmission that is far off.
func (c *conn) sleeps() bool {
	i := c.info()
	if i == nil || i.Unacked == 0 || i.Backoff == 0 {
		return false
	}
	return time.Duration(i.Rto)*time.Microsecond-time.Duration(i.Last_data_sent)*time.Millisecond > again
}

// end ends the connection and the request on it, if there is one, with cause.
func (c *conn) end(cause error) {
	c.link.changes.Add(1)
	if w := c.user.Load(); w != nil {
		w.cancel(cause) // which closes the connection
		return
	}
	_ = c.Close() // an idle one: net/http sees it gone before it is used
}
