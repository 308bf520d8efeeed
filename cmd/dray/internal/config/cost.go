package config

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
	"github.com/seed-7270d448/dray/transport/link/netwatch"
)

// wires are the links of one file, and what they share.
type wires struct {
	rate  *link.Rate
	meter *engine.Meter // nil: no budget
	all   []*link.Transport
}

// shared reads what all links have in common.
func (w *wires) shared(m *mapping) {
	w.rate = m.rate("rate")
	var budgets []engine.Budget
	for _, b := range m.entries("budgets") {
		budgets = append(budgets, engine.Budget{
			Interface: b.need("interface", "name the interface, such as wwan0, or a pattern: wwan*, or * for all"),
			Day:       b.size("day"),
			Month:     b.size("month"),
			ResetDay:  b.integer("reset_day"),
			Reserve:   b.percent("reserve"),
		})
		b.done()
	}
	if len(budgets) > 0 {
		w.meter = engine.NewMeter(budgets)
	}
	m.done()
}

// open makes a link that keeps to what all share, and to a rate of its own.
func (w *wires) open(use link.Config, own *link.Rate) (*link.Transport, error) {
	use.Rates = []*link.Rate{own, w.rate}
	if w.meter != nil {
		use.Meter = w.meter
	}
	t, err := link.New(use)
	if err == nil {
		w.all = append(w.all, t)
	}
	return t, err
}

// over is a destination at the far end of a link.
func over(wire *link.Transport, to transport.Destination) engine.Destination {
	return engine.Destination{
		To:       to,
		Clock:    func() (c engine.ServerClock) { c.Time, c.Heard = wire.Clock(); return c },
		TellTime: wire.TellTime,
		Link:     func() engine.LinkCounters { return engine.LinkCounters(wire.Counters()) },
		Route:    wire.Interface,
	}
}

// network tells the links, and then the engine, that the network has changed.
func (w *wires) network(ctx context.Context, changed func()) {
	netwatch.Run(ctx, func() {
		for _, t := range w.all {
			t.Changed()
		}
		changed()
	})
}

// rate returns a cap such as 100KiB/s; nil if the key is absent.
func (m *mapping) rate(key string) *link.Rate {
	n, ok := m.scalar(key)
	if !ok {
		return nil
	}
	const hint = "write bytes a second, such as 100KiB/s"
	text, perSecond := strings.CutSuffix(strings.TrimSpace(n.Value), "/s")
	size, err := parseSize(text)
	switch {
	case !perSecond:
		m.problem(key, hint, "%q does not end in /s", clip(n.Value))
	case err != nil:
		m.problem(key, hint, "%q %v", clip(n.Value), err)
	case size < 1<<10:
		m.problem(key, "use at least 1KiB/s", "%q is too slow to ever carry a part", clip(n.Value))
	}
	return link.NewRate(size)
}

// percent returns a number such as 20%, 0 if the key is absent.
func (m *mapping) percent(key string) int {
	n, ok := m.scalar(key)
	if !ok {
		return 0
	}
	text, percent := strings.CutSuffix(strings.TrimSpace(n.Value), "%")
	i, err := strconv.ParseUint(text, 10, 7)
	if err != nil || !percent {
		m.problem(key, "write a whole number and a percent sign, such as 20%", "%q is not a share", clip(n.Value))
	}
	return int(i)
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// windows reads when a link may be used; none if the key is absent.
func (m *mapping) windows() (list engine.Windows) {
	for _, w := range m.entries("windows") {
		w.need("from", "write when it opens, such as 22:00")
		w.need("to", "write when it closes, such as 06:00")
		list = append(list, engine.Window{Days: w.days("days"), From: w.clock("from"), To: w.clock("to")})
		w.done()
	}
	return list
}

// days reads days of the week, as "mon-fri, sun"; none if the key is absent.
func (m *mapping) days(key string) (list []time.Weekday) {
	n, ok := m.scalar(key)
	if !ok {
		return nil
	}
	for item := range strings.SplitSeq(n.Value, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(item), "-")
		if !isRange {
			last = first
		}
		a, b := slices.Index(weekdays, first), slices.Index(weekdays, last)
		if a < 0 || b < 0 {
			m.problem(key, "write days such as mon-fri or sat,sun", "%q is not days of the week", clip(n.Value))
			return nil
		}
		for d := a; ; d = (d + 1) % 7 {
			list = append(list, time.Weekday(d))
			if d == b {
				break
			}
		}
	}
	return list
}

// clock reads a time of the day such as 06:30, up to 24:00.
func (m *mapping) clock(key string) time.Duration {
	n, ok := m.scalar(key)
	if !ok {
		return 0
	}
	h, min, two := strings.Cut(n.Value, ":")
	hours, e1 := strconv.ParseUint(h, 10, 8)
	minutes, e2 := strconv.ParseUint(min, 10, 8)
	if !two || e1 != nil || e2 != nil || len(h) != 2 || len(min) != 2 || hours*60+minutes > 24*60 || minutes > 59 {
		m.problem(key, "write hours and minutes, such as 06:30", "%q is not a time of the day", clip(n.Value))
		return 0
	}
	return time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
}

// entries is list of a key that may be absent.
func (m *mapping) entries(key string) []*mapping {
	if m.get(key) == nil {
		return nil
	}
	return m.list(key, "leave the key out, or fill it")
}
