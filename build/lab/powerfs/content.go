package powerfs

import "math/rand/v2"

// sector is what a disk writes whole or not at all, in bytes.
const sector = 512

// content is the bytes of a file: those that processes see, those that are on
// the medium for certain, and how the ones came from the others.
type content struct {
	data    []byte
	durable []byte
	pending []change // since the last sync, in order
}

// A change is one write, or, with bytes nil, a new length.
type change struct {
	off   int64 // of a new length: what it is
	bytes []byte
	size  int64 // of the file behind the change
}

func (c *content) write(off int64, p []byte) {
	if len(p) == 0 {
		return
	}
	p = append([]byte(nil), p...)
	c.do(change{off: off, bytes: p, size: max(int64(len(c.data)), off+int64(len(p)))})
}

func (c *content) truncate(size int64) {
	if size != int64(len(c.data)) {
		c.do(change{off: size, size: size})
	}
}

func (c *content) do(ch change) {
	c.data = ch.apply(c.data)
	c.pending = append(c.pending, ch)
}

// apply returns b with the change made to it.
func (ch *change) apply(b []byte) []byte {
	b = resize(b, ch.size)
	copy(b[ch.off:], ch.bytes)
	return b
}

// resize returns b with that length; what is new is zero.
func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size]
	}
	if size <= int64(cap(b)) {
		old := len(b)
		b = b[:size]
		clear(b[old:])
		return b
	}
	grown := make([]byte, size, size+size/4)
	copy(grown, b)
	return grown
}

// sync makes all changes durable.
func (c *content) sync() {
	for i := range c.pending {
		c.durable = c.pending[i].apply(c.durable)
	}
	c.pending = nil
}

// written returns the file as a read past the cache finds it: what no sync has
// covered yet is written for it, what one that failed has dropped is not there.
func (c *content) written() []byte {
	b := append([]byte(nil), c.durable...)
	for i := range c.pending {
		b = c.pending[i].apply(b)
	}
	return b
}

// fail drops the changes from what a later sync covers. What processes see
// stays as it is.
func (c *content) fail(r *rand.Rand) {
	c.durable = c.torn(mood(r), r)
	c.pending = nil
}

// torn returns one of the states in which a cut can leave the file, of which so
// much survives that no sync covered.
func (c *content) torn(much share, r *rand.Rand) []byte {
	if len(c.pending) == 0 {
		return append([]byte(nil), c.durable...)
	}
	most := int64(len(c.durable))
	sizes := []int64{most}
	for i := range c.pending {
		sizes = append(sizes, c.pending[i].size)
		most = max(most, c.pending[i].size)
	}
	size := sizes[much.of(r, len(sizes)-1)]

	// How many of the changes of each sector got there.
	changes := make([]int, most/sector+1)
	c.touched(func(s int64, _ *change) { changes[s]++ })
	left := make([]int, len(changes))
	for s, n := range changes {
		left[s] = much.of(r, n)
	}
	junk := much != nothing && r.IntN(8) == 0
	b := resize(append([]byte(nil), c.durable...), most)
	for s := range left {
		// Never written since the file grew over it: what the block held before.
		if from := max(int64(s*sector), int64(len(c.durable))); junk && left[s] == 0 && from < most && r.IntN(2) == 0 {
			for i := from; i < min(int64(s+1)*sector, most); i++ {
				b[i] = byte(r.Uint32())
			}
		}
	}
	c.touched(func(s int64, ch *change) {
		if left[s] == 0 {
			return
		}
		left[s]--
		part := b[s*sector : min((s+1)*sector, most)]
		if ch.bytes == nil {
			clear(part[min(max(ch.off-s*sector, 0), int64(len(part))):])
		} else if from := ch.off - s*sector; from >= 0 {
			copy(part[from:], ch.bytes)
		} else {
			copy(part, ch.bytes[-from:])
		}
	})
	return b[:size]
}

// touched calls fn for each change and each sector that it changes, in order.
func (c *content) touched(fn func(s int64, ch *change)) {
	size := int64(len(c.durable))
	for i := range c.pending {
		ch := &c.pending[i]
		from, to := ch.off, ch.off+int64(len(ch.bytes))
		if ch.bytes == nil {
			to = max(size, ch.size)
		}
		for s := from / sector; s*sector < to; s++ {
			fn(s, ch)
		}
		size = ch.size
	}
}

// A share says how much of what no sync covered survives: nothing, all, or as
// chance has it, item by item.
type share uint8

const (
	nothing share = iota
	everything
	some
)

// mood draws a share. The ends are drawn often: most missing syncs show there.
func mood(r *rand.Rand) share { return [...]share{nothing, everything, some, some}[r.IntN(4)] }

// of returns how many of n things in a row survive.
func (m share) of(r *rand.Rand, n int) int {
	switch m {
	case nothing:
		return 0
	case everything:
		return n
	}
	return r.IntN(n + 1)
}
