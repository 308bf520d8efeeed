package engine

import (
	"time"

	"github.com/seed-7270d448/dray/wal"
)

// In tests the clocks are those of the bubble, if there is one, and good.
func init() {
	kernel = func() wal.Moment {
		now := time.Now()
		return wal.Moment{Boot: now.Sub(time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)), Wall: now, Trust: wal.Synced}
	}
}

// SetMachine makes engines that begin from now on believe that they run on other
// hardware. It returns what takes that back.
func SetMachine(id string) (restore func()) {
	was := machineID
	machineID = func() string { return id }
	return func() { machineID = was }
}

// SetClocks makes engines that begin from now on ask now for the time, and boot
// for the name of the boot. It returns what takes that back.
func SetClocks(now func() wal.Moment, boot func() string) (restore func()) {
	c, b := kernel, bootID
	kernel, bootID = now, boot
	return func() { kernel, bootID = c, b }
}
