//go:build lab

package wal

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// syncStall makes every n-th sync of a slot as slow as bad flash: the variable
// DRAY_LAB_SYNC_STALL holds "n:duration". Only in builds with the tag lab.
func syncStall() func() {
	every, long, ok := strings.Cut(os.Getenv("DRAY_LAB_SYNC_STALL"), ":")
	n, err := strconv.ParseInt(every, 10, 64)
	d, err2 := time.ParseDuration(long)
	if !ok || err != nil || err2 != nil || n < 1 {
		return nil
	}
	var count atomic.Int64
	return func() {
		if count.Add(1)%n == 0 {
			time.Sleep(d)
		}
	}
}
