//go:build !lab

package wal

// shrink changes nothing: only a build with the tag lab has other sizes.
func shrink(*Options) sizes { return sizes{} }
