package engine

import (
	"fmt"
	"path"
)

// cost checks what the links may cost: schedules and budgets.
func (c *checker) cost() {
	for i, d := range c.cfg.Destinations {
		for j, w := range d.Windows {
			if problem := w.check(); problem != "" {
				c.add(fmt.Sprintf("destinations[%d].windows[%d]", i, j), problem, "write times of the day, such as {from: 22:00, to: 06:00}")
			}
		}
	}
	for i, s := range c.cfg.Streams {
		if s.Order != "" && s.Order != Oldest && s.Order != Newest {
			c.add(fmt.Sprintf("streams[%d].order", i), fmt.Sprintf("%q is not known", s.Order), "use oldest or newest")
		}
	}
	if c.cfg.Meter == nil {
		return
	}
	seen := map[string]bool{}
	for i, b := range c.cfg.Meter.budgets {
		at := fmt.Sprintf("link.budgets[%d]", i)
		if _, err := path.Match(b.Interface, ""); err != nil || b.Interface == "" || len(b.Interface) > maxName {
			c.add(at+".interface", fmt.Sprintf("%q is no pattern for an interface", b.Interface), "write a name such as wwan0, or a pattern such as wwan* or *")
		}
		if seen[b.Interface] {
			c.add(at+".interface", fmt.Sprintf("%q has a budget already", b.Interface), "put day and month into one budget")
		}
		seen[b.Interface] = true
		switch {
		case b.Day < 0 || b.Month < 0:
			c.add(at, "a limit is negative", "leave the limit out for none")
		case b.Day == 0 && b.Month == 0:
			c.add(at, "bounds nothing", "give it day, month or both")
		}
		if b.ResetDay < 0 || b.ResetDay > 28 {
			c.add(at+".reset_day", fmt.Sprintf("%d is not a day of every month", b.ResetDay), "use 1 to 28")
		}
		if b.Reserve < 0 || b.Reserve > 90 {
			c.add(at+".reserve", fmt.Sprintf("%d %% is out of bounds", b.Reserve), "use 0% to 90%")
		}
		c.fits(at, b)
	}
}

// fits checks that a budget can carry each part at all. Else nothing would ever go.
func (c *checker) fits(at string, b Budget) {
	for _, limit := range []struct {
		key   string
		bytes int64
	}{{"day", b.Day}, {"month", b.Month}} {
		if limit.bytes <= 0 {
			continue
		}
		for _, s := range c.cfg.Streams {
			d := c.cfg.destination(s.Destination)
			if d == nil || d.Route == nil {
				continue
			}
			most := limit.bytes
			if s.Priority.Rank() <= Normal.Rank() {
				most -= most / 100 * int64(b.Reserve)
			}
			if body := min(s.Object.PartSize, s.Object.MaxBytes); costOf(body) > most {
				c.add(at+"."+limit.key, fmt.Sprintf("%s never lets a part of %s of stream %q through", sizeText(limit.bytes), sizeText(body), s.Name),
					fmt.Sprintf("allow at least %s, or use smaller objects", sizeText(limit.bytes-most+costOf(body))))
				break
			}
		}
	}
}
