package s3

import "sync/atomic"

// A condition remembers whether the server knows If-None-Match. One that
// answers 501 to it may mean something else: only when the same request
// succeeds without it is the condition given up, for the life of the process.
type condition struct{ state atomic.Int32 }

const (
	conditionKnown int32 = iota
	conditionSuspect
	conditionUnknown
)

// off reports whether to leave the condition out.
func (c *condition) off() bool { return c.state.Load() != conditionKnown }

// refused takes note of a 501 to a request and reports whether to try again
// without the condition.
func (c *condition) refused(sent bool) (again bool) {
	if sent {
		c.state.CompareAndSwap(conditionKnown, conditionSuspect)
		return true
	}
	c.state.CompareAndSwap(conditionSuspect, conditionKnown) // it was not that
	return false
}

// accepted takes note of a success without the condition.
func (c *condition) accepted() { c.state.CompareAndSwap(conditionSuspect, conditionUnknown) }

// Notes are what an operator should know of the server, found out so far in
// the life of the process.
func (d *Destination) Notes() []string {
	if d.condition.state.Load() != conditionUnknown {
		return nil
	}
	return []string{"the server knows no If-None-Match: before an object is made its key is looked at, which two writers of one key at the same moment can get past; set if_absent: false if that is of no matter"}
}
