//go:build lab

package engine

import (
	"os"
	"strconv"
	"time"
)

// In builds with the tag lab the variable DRAY_LAB_PACE holds a factor for
// every pause, so that thousands of failures can be lived through in minutes.
// What is decided stays the same; only how long it is waited for does not.
func init() {
	factor, err := strconv.ParseFloat(os.Getenv("DRAY_LAB_PACE"), 64)
	if err != nil || factor <= 0 || factor > 1 {
		return
	}
	all := []*time.Duration{&rotWrong, &rotFailing}
	for _, p := range []*pause{&pauseLink, &pauseService, &pauseDenied, &pauseSource, &pauseFlash} {
		all = append(all, &p.least, &p.first, &p.most)
	}
	for _, d := range all {
		*d = max(time.Duration(float64(*d)*factor), time.Microsecond)
	}
}
