package engine

import (
	"errors"
	"fmt"
	"path"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-7270d448/dray/wal"
)

// A Budget bounds what all links through some interfaces may cost together, in
// bytes that cross them, both ways. 0 bounds nothing.
type Budget struct {
	Interface string // pattern of path.Match for the interface's name, such as "wwan*"; "*" for any
	Day       int64  // a calendar day in local time
	Month     int64  // a month that begins on ResetDay
	ResetDay  int    // of the month, 1 to 28; default 1
	Reserve   int    // percent that is left to streams of priority High; at most 90
}

// ErrOverBudget is in the chain of the error of a request that a budget did not
// allow, or ended.
var ErrOverBudget = errors.New("over budget")

// A Meter holds links to budgets. It is given to each link when that is made, and
// then to an Engine, which keeps its figures over restarts; before that it
// counts in memory alone. What is spent is made durable ahead, a little at a
// time, and never later: after a power cut it may seem that more was spent than
// there was, by at most that little, never less. Safe for concurrent use.
type Meter struct {
	budgets []Budget
	now     func() stamp

	saving  sync.Mutex // held while figures are committed; before mu
	mu      sync.Mutex
	tallies [][]*tally // of each budget: those of its limits
	claims  []int64    // of each budget: what requests under way may cost
	urgent  int        // of those requests, the urgent ones
	boot    string
	commit  func(...wal.Fact) error // nil: in memory alone
}

// NewMeter returns a meter with nothing spent. It does not look for what is wrong
// with budgets; Check does.
func NewMeter(budgets []Budget) *Meter {
	m := &Meter{budgets: budgets, now: clocks, claims: make([]int64, len(budgets))}
	at := m.now()
	for _, b := range budgets {
		var list []*tally
		if b.Day > 0 {
			list = append(list, &tally{name: "day " + b.Interface, period: dayOf, least: 20 * time.Hour, most: day, limit: b.Day, at: at})
		}
		if b.Month > 0 {
			list = append(list, &tally{name: "month " + b.Interface, period: monthOf(max(b.ResetDay, 1)), least: 27 * day, most: 31 * day, limit: b.Month, at: at})
		}
		m.tallies = append(m.tallies, list)
	}
	return m
}

// clocks reads both.
func clocks() stamp {
	var ts unix.Timespec
	// It cannot fail for a clock that Linux has had since 2.6.39.
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return stamp{time.Now(), time.Duration(ts.Nano())}
}

// bind goes on with the figures of a state folder.
func (m *Meter) bind(store *wal.Store, boot string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boot, m.commit = boot, store.Commit
	at := m.now()
	store.View(func(s *wal.State) {
		for _, list := range m.tallies {
			for _, t := range list {
				t.load(s.Figure(t.name), at, boot)
			}
		}
	})
}

// concerns says whether budget i is for an interface.
func (m *Meter) concerns(i int, iface string) bool {
	ok, err := path.Match(m.budgets[i].Interface, iface)
	return ok && err == nil
}

// ahead is how much more is saved as spent than was asked for: the most that a
// power cut wastes of a budget.
func (t *tally) ahead() int64 { return min(max(t.limit/64, 64<<10), 8<<20) }

// Take asks for n more bytes through an interface before they are sent. With an
// error, ErrOverBudget or that of the journal, nothing was taken. The reserve is
// given only while an urgent request is under way: before the first connection
// nobody knows which budgets a request is for, so room cannot have kept it.
func (m *Meter) Take(iface string, n int64) error {
	for {
		ok, err := m.take(iface, n)
		if ok || err != nil {
			return err
		}
		if err := m.save(iface, n); err != nil {
			return fmt.Errorf("the budget of %s cannot be kept: %w", iface, err)
		}
	}
}

// take takes n bytes if what is saved covers them.
func (m *Meter) take(iface string, n int64) (ok bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.now()
	ok = true
	for i, list := range m.tallies {
		if !m.concerns(i, iface) {
			continue
		}
		for _, t := range list {
			t.turn(at)
			if limit := m.limit(i, t, m.urgent > 0); t.used+n > limit {
				return false, fmt.Errorf("%w of %s: %d of %d bytes are used", ErrOverBudget, t.name, t.used, limit)
			}
			ok = ok && t.used+n <= t.saved && !t.set
		}
	}
	if !ok {
		return false, nil
	}
	for i, list := range m.tallies {
		for _, t := range list {
			if m.concerns(i, iface) {
				t.used += n
			}
		}
	}
	return true, nil
}

// save makes durable that n more bytes, and some beyond, are spent.
func (m *Meter) save(iface string, n int64) error {
	m.saving.Lock()
	defer m.saving.Unlock()
	m.mu.Lock()
	type pledge struct {
		t         *tally
		is, spent int64
	}
	var (
		facts   []wal.Fact
		pledges []pledge
		commit  = m.commit
	)
	for i, list := range m.tallies {
		for _, t := range list {
			p := pledge{t, t.is, t.saved}
			switch {
			case m.concerns(i, iface) && t.used+n > t.saved:
				p.spent = min(t.used+n+t.ahead(), t.limit)
			case !t.set:
				continue
			}
			t.set = false
			pledges, facts = append(pledges, p), append(facts, t.figure(p.spent, m.boot))
		}
	}
	m.mu.Unlock()
	if commit != nil && len(facts) > 0 {
		if err := commit(facts...); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range pledges {
		if p.t.is == p.is { // else another period began meanwhile, and take comes back
			p.t.saved = p.spent
		}
	}
	return nil
}

// keep makes durable that the calendar was set, if it was.
func (m *Meter) keep() error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	at, set := m.now(), false
	for _, list := range m.tallies {
		for _, t := range list {
			t.turn(at)
			set = set || t.set
		}
	}
	m.mu.Unlock()
	if !set {
		return nil
	}
	return m.save("", 0)
}

// Settle says that n bytes more than were taken for a connection have passed, or
// with n < 0 that so many were not needed. Bytes that were taken in a period that
// is over are not given back to the next: opened is when the connection was.
func (m *Meter) Settle(iface string, n int64, opened time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.now()
	for i, list := range m.tallies {
		for _, t := range list {
			if !m.concerns(i, iface) {
				continue
			}
			if t.turn(at); n > 0 || !opened.Before(t.reset) {
				t.used = max(t.used+n, 0)
			}
		}
	}
}

// room says whether a request through an interface that may cost n bytes fits
// what is left; urgent is one of a stream of priority High.
func (m *Meter) room(iface string, n int64, urgent bool) bool {
	ok, _ := m.wait(iface, n, urgent)
	return ok
}

// wait is room, and if there is none, when there will be: when the last of the
// periods ends that are used up, zero if that is not known.
func (m *Meter) wait(iface string, n int64, urgent bool) (ok bool, until time.Time) {
	if m == nil {
		return true, time.Time{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at, full := m.now(), false
	for i, list := range m.tallies {
		if !m.concerns(i, iface) {
			continue
		}
		for _, t := range list {
			t.turn(at)
			if t.used+m.claims[i]+n > m.limit(i, t, urgent) {
				full = true
				if end := t.ends(at); end.After(until) {
					until = end
				}
			}
		}
	}
	return !full, until
}

// limit is how much of budget i may be used up.
func (m *Meter) limit(i int, t *tally, urgent bool) int64 {
	if urgent {
		return t.limit
	}
	return t.limit - t.limit/100*int64(m.budgets[i].Reserve)
}

// claim sets aside what a request wants, so that several at a time do not count
// on the same bytes; unclaim gives it back.
func (m *Meter) claim(iface string, w want) { m.add(iface, w.bytes, w.urgent, 1) }

func (m *Meter) unclaim(iface string, w want) { m.add(iface, -w.bytes, w.urgent, -1) }

func (m *Meter) add(iface string, bytes int64, urgent bool, requests int) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if urgent {
		m.urgent += requests
	}
	for i := range m.claims {
		if m.concerns(i, iface) {
			m.claims[i] += bytes
		}
	}
}

// close makes durable what was spent and no more, so that a restart in order
// wastes nothing.
func (m *Meter) close() error {
	if m == nil {
		return nil
	}
	m.saving.Lock()
	defer m.saving.Unlock()
	m.mu.Lock()
	var facts []wal.Fact
	at, commit := m.now(), m.commit
	for _, list := range m.tallies {
		for _, t := range list {
			t.turn(at)
			t.saved = t.used
			facts = append(facts, t.figure(t.used, m.boot))
		}
	}
	m.mu.Unlock()
	if commit == nil || len(facts) == 0 {
		return nil
	}
	return commit(facts...)
}

// status is what Status shows of the budgets.
func (m *Meter) status() (list []BudgetStatus) {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.now()
	for i, tallies := range m.tallies {
		b := m.budgets[i]
		s := BudgetStatus{Interface: b.Interface, Reserve: b.Reserve}
		for _, t := range tallies {
			t.turn(at)
			if t.least < day {
				s.Day = &Spent{Bytes: t.used, Limit: t.limit}
			} else {
				s.Month = &Spent{Bytes: t.used, Limit: t.limit}
			}
		}
		list = append(list, s)
	}
	return list
}
