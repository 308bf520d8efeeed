//go:build lab

package s3

import (
	"os"
	"strconv"
)

// leastPart is the least part that Limits names: in builds with the tag lab the
// variable DRAY_LAB_PART_BYTES, for a server that takes small ones.
func leastPart() int64 {
	if n, err := strconv.ParseInt(os.Getenv("DRAY_LAB_PART_BYTES"), 10, 64); err == nil && n > 0 {
		return n
	}
	return MinPartSize
}
