//go:build !lab

package s3

// leastPart is the least part that Limits names.
func leastPart() int64 { return MinPartSize }
