//go:build lab

package wal

import (
	"encoding/json"
	"os"
	"time"
)

// fakeClock makes the clocks those of a device that an experiment plays, if the
// variable DRAY_LAB_CLOCK names a file that says what they show. Only in builds
// with the tag lab.
func fakeClock(o *Options) {
	path := os.Getenv("DRAY_LAB_CLOCK")
	if path == "" {
		return
	}
	type face struct {
		Boot   string        // names the boot
		Since  time.Time     // when it began, by the right time
		Ahead  time.Duration // of the wall clock
		Synced bool
	}
	read := func() (f face) {
		b, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(b, &f)
		}
		if err != nil {
			panic("DRAY_LAB_CLOCK: " + err.Error()) // an experiment that goes on without it proves nothing
		}
		return f
	}
	o.Boot = read().Boot
	o.Now = func() Moment {
		f, now := read(), time.Now()
		m := Moment{Boot: now.Sub(f.Since), Wall: now.Add(f.Ahead)}
		if f.Synced {
			m.Trust = Synced
		}
		return m
	}
}
