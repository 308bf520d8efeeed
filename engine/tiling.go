package engine

import (
	"errors"
	"slices"
	"sort"
)

// A tile is an object as the archive describes it: its place in the stream and
// what its metadata says was lost before it. Offsets are bytes.
type tile struct {
	start, end int64
	gap        int64  // bytes known lost just before start
	unknown    bool   // and more, nobody knows how many
	follows    string // the epoch before, where the bytes before start have one
	unasked    bool   // its metadata was not read: gap, unknown and follows say nothing
	key        string
}

// A cover is a run of objects without anything between them.
type cover struct {
	tile        // start and gap of the first object, end of the last
	last string // key of the last; tile.key is that of the first
}

// maxCovers bounds how many pieces a stream can fall into.
const maxCovers = 1 << 20

var errPieces = errors.New("the archive holds too many pieces with nothing between them; look at one stream or folder at a time")

// A tiling finds out whether objects tile a stream. They come in any order:
// keys sort by capture time first, and a clock may go back. Objects that adjoin
// are one cover, so its size depends on the holes and not on the objects.
type tiling struct {
	covers []cover // by start; none touches another
}

// add puts a tile in its place. Where it lies on others it returns what both
// hold, and the key of one of the others.
func (t *tiling) add(n tile) (twice Extent, with string, err error) {
	// The covers that touch or overlap the tile are i to j.
	i := sort.Search(len(t.covers), func(i int) bool { return t.covers[i].end >= n.start })
	j := i
	for ; j < len(t.covers) && t.covers[j].start <= n.end; j++ {
		c := &t.covers[j]
		if from, to := max(c.start, n.start), min(c.end, n.end); from < to {
			if twice.End == 0 {
				twice.Start, with = from, c.key
				if c.end == to && from != c.start {
					with = c.last
				}
			}
			twice.End = to
		}
	}
	whole := cover{n, n.key}
	if i < j {
		first, last := t.covers[i], t.covers[j-1]
		if first.start <= n.start {
			whole.tile = first.tile
		}
		whole.end = n.end
		if last.end > n.end {
			whole.end, whole.last = last.end, last.last
		}
	}
	if len(t.covers)-(j-i) == maxCovers {
		return twice, with, errPieces
	}
	t.covers = slices.Replace(t.covers, i, j, whole)
	return twice, with, nil
}

// An Extent is a run of bytes of a stream: [Start, End).
type Extent struct {
	Start int64 `json:"start"`
	End   int64 `json:"end"`
}

// between calls fn with each extent that no object holds, from the stream's
// beginning, and the cover behind it.
func (t *tiling) between(fn func(Extent, cover)) {
	var end int64
	for _, c := range t.covers {
		if end < c.start {
			fn(Extent{end, c.start}, c)
		}
		end = c.end
	}
}
