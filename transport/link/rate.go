package link

import (
	"sync"
	"time"
)

// A Rate caps how many bytes a second are sent, over all connections that share
// it. It is smooth: what was not used earlier counts for a quarter of a second
// at most. Safe for concurrent use.
type Rate struct {
	perSecond int64

	mu   sync.Mutex
	next time.Time // when all that was let through so far has had its time
}

// NewRate returns a cap of so many bytes a second, nil (no cap) for 0.
func NewRate(perSecond int64) *Rate {
	if perSecond <= 0 {
		return nil
	}
	return &Rate{perSecond: perSecond}
}

// credit is how much unused time counts.
const credit = time.Second / 4

// piece is how many bytes to send at once: an eighth of a second's, so that
// connections take turns, but not less than a segment.
func (r *Rate) piece() int { return int(min(max(r.perSecond/8, 1<<10), writeBuffer)) }

// wait returns when n more bytes may be sent; false if closed was closed before.
func (r *Rate) wait(n int, closed <-chan struct{}) bool {
	now := time.Now()
	r.mu.Lock()
	if least := now.Add(-credit); r.next.Before(least) {
		r.next = least
	}
	// A piece may go when those before it have had their time.
	pause := r.next.Sub(now)
	r.next = r.next.Add(time.Duration(float64(n) / float64(r.perSecond) * float64(time.Second)))
	r.mu.Unlock()
	if pause <= 0 {
		return true
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-closed:
		return false
	}
}
