//go:build !lab

package wal

// fakeClock does nothing: only a build with the tag lab has other clocks.
func fakeClock(*Options) {}
