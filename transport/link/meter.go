package link

import (
	"fmt"
	"time"
)

// A Meter keeps count of what the link costs, and says when it may cost no more.
// Safe for concurrent use.
//
// What a connection costs is what a mobile operator bills: IP packets both ways,
// from the handshake on, with TLS and with what TCP had to send again. Of the
// kernel's figures (tcp_info of Linux 4.19 and later) that is
//
//	bytes_sent + bytes_received + header * (segs_out + segs_in)
//
// where bytes_sent has the retransmissions in it and header is 52 for IPv4 and
// 72 for IPv6, with the timestamp option that each segment has. Name look-ups
// are not counted.
type Meter interface {
	// Take asks for n more bytes through the interface before they are sent. If
	// it returns an error none were taken, and none are sent.
	Take(iface string, n int64) error
	// Settle says that n bytes more than were taken have passed, or with n < 0 that
	// so many were not needed. opened is when the connection was.
	Settle(iface string, n int64, opened time.Time)
}

// Headers of IP and TCP in each segment, with timestamps.
const (
	header4 = 20 + 32
	header6 = 40 + 32
)

// openCost is taken for each try to connect: what the handshakes of TCP and TLS
// take until the first request's bytes ask for themselves. A try that comes to
// nothing costs failCost, its SYNs.
const (
	openCost = 4 << 10
	failCost = 512
)

// replyCost is taken for the reply to a request and the end of the connection.
const replyCost = 4 << 10

// cost is what the connection has cost so far.
func (c *conn) cost(i *tcpInfo) int64 {
	sent := int64(i.Bytes_sent)
	if sent == 0 { // an older kernel
		sent = c.sent.Load()
	}
	return sent + int64(i.Bytes_received) + c.header()*(int64(i.Segs_out)+int64(i.Segs_in))
}

func (c *conn) header() int64 {
	if isIPv4(c.LocalAddr()) {
		return header4
	}
	return header6
}

// charge takes from the meter what the connection may cost until the next time
// it is asked, with n more bytes to be sent: what the kernel holds is still to be
// sent, and what is not acknowledged may have to be sent once more.
func (c *conn) charge(n int64) error {
	if c.link.meter == nil {
		return nil
	}
	info := c.info()
	if info == nil {
		return nil
	}
	ahead := n + info.unfinished()
	segments := ahead/int64(max(info.Snd_mss, 536)) + 4
	c.mu.Lock()
	defer c.mu.Unlock()
	// For each two segments there is one that acknowledges them.
	want := c.cost(info) + ahead + segments*c.header()*3/2 + replyCost - c.charged
	if want <= 0 {
		return nil
	}
	if err := c.link.meter.Take(c.iface, want); err != nil {
		return fmt.Errorf("%w: %w", ErrSpent, err)
	}
	c.charged += want
	return nil
}

// settle ends the account.
func (c *conn) settle(info *tcpInfo) {
	cost := c.cost(info) + 2*c.header() // the two that end it
	c.link.cost.Add(cost)
	if c.link.meter == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link.meter.Settle(c.iface, cost-c.charged, c.opened)
	c.charged = cost
}
