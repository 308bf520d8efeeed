// Package guard holds the rules that no compiler checks, as tests: which
// package may import which, who may call fsync, how large the binary may get,
// that nothing turns dead-code elimination off, how long a file may be.
//
// It has no code of its own and must never be imported. A rule that stands in
// the way is changed here, with its reason, and not worked around.
package guard
