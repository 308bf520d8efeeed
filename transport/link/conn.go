package link

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// conn counts the bytes of one connection, and holds them to rates and budgets.
type conn struct {
	net.Conn
	link           *Transport
	sent, received atomic.Int64
	acked          atomic.Uint64         // as the kernel said last
	gone           atomic.Int64          // bytes that left this machine, those sent again counted again; likewise
	broken         atomic.Bool           // counted already
	waits          atomic.Int32          // writers that a rate holds back
	user           atomic.Pointer[watch] // the request on it; nil: idle
	iface          string                // that it goes through
	opened         time.Time
	closed         chan struct{}
	once           sync.Once
	shut           error // of Close

	mu      sync.Mutex
	charged int64 // taken from the meter
}

// Close asks a last time what was acknowledged, and settles the cost. What an
// aborted request leaves in the kernel's buffer is dropped there: nobody waits
// for it, it would go on costing, and ErrIncomplete says that it never leaves.
func (c *conn) Close() error {
	c.once.Do(func() {
		if c.closed != nil {
			close(c.closed)
		}
		c.progress()
		if info := c.info(); info != nil {
			if tcp, ok := c.Conn.(*net.TCPConn); ok && (info.Notsent_bytes > 0 || info.inFlight() > maxTail) {
				_ = tcp.SetLinger(0) // else it is closed in the usual way
			}
			c.settle(info)
		}
		c.shut = c.Conn.Close()
		c.link.forget(c)
	})
	return c.shut
}

// maxTail is what may still be on its way when a connection is closed in order:
// the last record of TLS.
const maxTail = 1 << 10

// carried is how many bytes the far side acknowledged or sent. Where the kernel
// does not tell, what was handed to it stands in.
func (c *conn) carried() int64 {
	p := c.progress()
	if p.acked == 0 {
		return p.sent + p.received
	}
	return int64(p.acked) - 1 + p.received // the SYN counts there
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	c.link.received.Add(int64(n))
	return n, err
}

// Write sends p in pieces, each when the rates and the meter let it.
func (c *conn) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		piece := p[n:]
		if c.link.piece > 0 {
			piece = piece[:min(len(piece), c.link.piece)]
		}
		if err := c.allow(len(piece)); err != nil {
			return n, err
		}
		var m int
		m, err = c.Conn.Write(piece)
		n += m
		c.sent.Add(int64(m))
		c.link.sent.Add(int64(m))
	}
	return n, err
}

// allow waits until n bytes may be sent.
func (c *conn) allow(n int) error {
	c.waits.Add(1)
	defer c.waits.Add(-1)
	for _, r := range c.link.rates {
		if !r.wait(n, c.closed) {
			return net.ErrClosed
		}
	}
	err := c.charge(int64(n))
	if w := c.user.Load(); err != nil && w != nil {
		w.cancel(err)
	}
	return err
}

// left is how many bytes left this machine, 0 where the kernel does not tell.
func (c *conn) left() int64 {
	c.progress()
	return c.gone.Load()
}

// progress is what a connection has moved: any change of it is a sign of life.
type progress struct {
	sent, received int64
	acked          uint64
}

// progress also asks the kernel how much the far side has acknowledged: on a
// slow link a single Write of 64 KiB can wait for minutes on a send buffer of
// megabytes that drains all the while, and the last part of a body is in that
// buffer long before it is over the wire.
func (c *conn) progress() progress {
	if info := c.info(); info != nil {
		c.acked.Store(info.Bytes_acked)
		c.gone.Store(int64(info.Bytes_sent))
	}
	return progress{sent: c.sent.Load(), received: c.received.Load(), acked: c.acked.Load()}
}

// tcpInfo is what the kernel says of a connection.
type tcpInfo unix.TCPInfo

// info returns what the kernel says; nil if it does not, or no more.
func (c *conn) info() *tcpInfo {
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil // closed: the request is about to learn of it
	}
	var info *unix.TCPInfo
	// It fails only on a closed connection.
	_ = raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if err != nil {
		return nil
	}
	return (*tcpInfo)(info)
}

// inFlight is how many bytes are sent and not acknowledged.
func (i *tcpInfo) inFlight() int64 {
	return max(int64(i.Bytes_sent)-int64(i.Bytes_retrans)-int64(i.Bytes_acked), int64(i.Unacked)*int64(i.Snd_mss), 0)
}

// unfinished is how many bytes wait to be sent or acknowledged.
func (i *tcpInfo) unfinished() int64 { return int64(i.Notsent_bytes) + i.inFlight() }

// ErrSpent is in the chain of the error of a request that was ended, or never
// begun, because the meter allowed no more bytes. What the meter said is there too.
var ErrSpent = errors.New("may send no more")
