package engine

import (
	"context"
	"regexp"
	"strconv"
	"sync"

	"github.com/seed-7270d448/dray/transport"
)

// keyPlace finds {epoch} and {start} in a key; both have a fixed width.
var keyPlace = regexp.MustCompile(`([0-9a-f]{16})[^0-9a-f]?([0-9]{20})(?:[^0-9]|$)`)

// readKey reads the epoch and the start from a key, and what stands before the
// epoch: all keys of one device, stream and day share it.
func readKey(key string) (before, epoch string, start int64, ok bool) {
	all := keyPlace.FindAllStringSubmatchIndex(key, -1)
	if len(all) != 1 { // none, or it could be either
		return "", "", 0, false
	}
	m := all[0]
	start, err := strconv.ParseInt(key[m[4]:m[5]], 10, 64)
	return key[:m[2]], key[m[2]:m[3]], start, err == nil
}

// maxShared bounds how many beginnings of keys are remembered.
const maxShared = 100_000

// keyReader tells objects by their keys, once one object has shown that the
// keys which begin as its own say what the metadata says.
type keyReader struct {
	mu    sync.Mutex
	known map[string]seriesID // by what stands before the epoch, and the epoch
}

// read returns what the key of e and its listed size say of it; false if the
// object itself has to be asked for.
func (k *keyReader) read(e transport.Entry) (id seriesID, n tile, ok bool) {
	before, epoch, start, ok := readKey(e.Key)
	if !ok || e.Size < 1 || start > (1<<63-1)-e.Size {
		return id, n, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	id, ok = k.known[before+epoch]
	return id, tile{start: start, end: start + e.Size, key: e.Key, unasked: true}, ok
}

// learn takes note that an object's metadata said what its key says.
func (k *keyReader) learn(id seriesID, n tile) {
	before, epoch, start, ok := readKey(n.key)
	if !ok || epoch != id.epoch || start != n.start {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.known) == maxShared {
		clear(k.known)
	}
	k.known[before+epoch] = id
}

// askGaps asks the objects behind holes that were told by their keys alone
// what was lost before them.
func (s *series) askGaps(ctx context.Context, stat func(context.Context, string) (*transport.Stored, error)) error {
	end := int64(0)
	for i := range s.covers {
		c := &s.covers[i]
		hole := end < c.start
		end = c.end
		if !hole || !c.unasked {
			continue
		}
		stored, err := stat(ctx, c.key)
		if err != nil {
			return err
		}
		if stored == nil {
			continue // gone since: what it said is not known
		}
		if _, n, err := readIdentity(c.key, *stored); err == nil && n.start == c.start {
			c.gap, c.unknown, c.follows, c.unasked = n.gap, n.unknown, n.follows, false
			s.lost(n)
		}
	}
	return nil
}
