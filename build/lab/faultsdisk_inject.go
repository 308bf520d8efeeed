package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seed-7270d448/dray/build/lab/powerfs"
)

// A failure is one way in which flash fails.
type failure struct {
	name, short string
	// counts says whether an operation can fail so.
	counts func(powerfs.Op) bool
	// fault is what becomes of the operation that fails.
	fault func(r *rand.Rand) powerfs.Fault
	// lasts: it goes on until it is healed, with the operations that counts says
	// and what later returns.
	lasts bool
	later powerfs.Fault
}

func kinds(list ...powerfs.Kind) func(powerfs.Op) bool {
	return func(op powerfs.Op) bool { return slices.Contains(list, op.Kind) }
}

// changes says whether a read-only file system refuses an operation.
func changes(op powerfs.Op) bool {
	return op.Kind.Changes() || op.Kind == powerfs.Open && op.Writes
}

func fails(err syscall.Errno) func(*rand.Rand) powerfs.Fault {
	return func(*rand.Rand) powerfs.Fault { return powerfs.Fault{Err: err} }
}

// slowSync is how long a slow sync takes.
const slowSync = 2 * time.Second

var failures = []failure{
	{name: "eio", short: "any operation fails once with EIO",
		counts: func(powerfs.Op) bool { return true }, fault: fails(syscall.EIO)},
	{name: "enospc", short: "one fails with ENOSPC",
		counts: kinds(powerfs.Create, powerfs.Write, powerfs.Mkdir, powerfs.Rename, powerfs.Sync, powerfs.SyncDir), fault: fails(syscall.ENOSPC)},
	{name: "full", short: "the disk has no room from there on, until others free some", lasts: true,
		counts: kinds(powerfs.Create, powerfs.Write, powerfs.Mkdir), fault: func(*rand.Rand) powerfs.Fault { return powerfs.Fault{Full: true} }},
	{name: "erofs", short: "it is read-only from there on, until it is mounted again", lasts: true,
		counts: changes, fault: fails(syscall.EROFS), later: powerfs.Fault{Err: syscall.EROFS}},
	{name: "short", short: "half of a write is done, and the rest fails",
		counts: kinds(powerfs.Write)}, // see hook
	{name: "fsync", short: "a sync fails, and what it covered is lost but looks clean",
		counts: kinds(powerfs.Sync, powerfs.SyncDir), fault: fails(syscall.EIO)},
	{name: "slow", short: "a sync takes two seconds",
		counts: kinds(powerfs.Sync, powerfs.SyncDir), fault: func(*rand.Rand) powerfs.Fault { return powerfs.Fault{Delay: slowSync} }},
	{name: "flip", short: "a bit of what is read is wrong",
		counts: kinds(powerfs.Read), fault: func(r *rand.Rand) powerfs.Fault {
			return powerfs.Fault{Spoil: func(p []byte) {
				if len(p) > 0 {
					p[r.IntN(len(p))] ^= 1 << r.IntN(8)
				}
			}}
		}},
}

func failureOf(name string) (failure, error) {
	for _, f := range failures {
		if f.name == name {
			return f, nil
		}
	}
	return failure{}, fmt.Errorf("failure %q is not known", name)
}

// An injector makes operation n fail, counted from 0 over those that can. All
// its methods are safe for concurrent use.
type injector struct {
	failure
	n    int
	kill int // stop the power so many operations behind the failure; negative: do not

	mu     sync.Mutex
	rand   *rand.Rand
	seen   int
	fired  bool
	active bool // what lasts is not healed yet
	behind int  // operations since
	op     powerfs.Op
	half   string            // file of which a write came short: the next one fails
	trust  map[string]*trust // by file
	wrong  []string
}

func newInjector(f failure, n, kill int, seed uint64) *injector {
	return &injector{failure: f, n: n, kill: kill, rand: rand.New(rand.NewPCG(seed, 5)), trust: map[string]*trust{}}
}

// hook is the disk's.
func (j *injector) hook(op powerfs.Op) powerfs.Fault {
	j.mu.Lock()
	defer j.mu.Unlock()
	f := j.next(op)
	j.distrust(op, f)
	return f
}

func (j *injector) next(op powerfs.Op) (f powerfs.Fault) {
	if j.fired {
		if op.Kind.Changes() {
			if j.behind++; j.behind == j.kill+1 {
				return powerfs.Fault{Stop: powerfs.Before}
			}
		}
		switch {
		case j.half != "" && op.Kind == powerfs.Write && op.Path == j.half:
			j.half = ""
			return powerfs.Fault{Err: syscall.ENOSPC}
		case j.active && j.counts(op):
			return j.later
		}
		return f
	}
	if !j.counts(op) {
		return f
	}
	if j.seen++; j.seen != j.n+1 {
		return f
	}
	j.fired, j.active, j.op = true, j.lasts, op
	if j.name == "short" {
		if op.Size < 2 {
			return powerfs.Fault{Err: syscall.ENOSPC}
		}
		j.half = op.Path
		return powerfs.Fault{Short: op.Size / 2}
	}
	return j.fault(j.rand)
}

// distrust checks that nobody builds on a failed sync: what it covered is written
// again before another sync of the file, or cut off, or read past the cache, which
// shows what came of it, or the file is given up. A slot is given up with its
// frames; from its header on it begins a new life. An upload's files hold parts
// that go by themselves: they are judged when they are published.
func (j *injector) distrust(op powerfs.Op, f powerfs.Fault) {
	class := crashClass(op.Path)
	if class == "archive" || class == "other" || f.Stop != powerfs.Not || f.Err != 0 && op.Kind != powerfs.Sync {
		return // or it is not done
	}
	if f.Short > 0 {
		op.Size = f.Short
	}
	t := j.trust[op.Path]
	if t == nil {
		t = &trust{}
		j.trust[op.Path] = t
	}
	e := extent{op.Offset, op.Offset + int64(op.Size)}
	switch op.Kind {
	case powerfs.Create, powerfs.Unlink:
		delete(j.trust, op.Path)
	case powerfs.Rename:
		if class == "upload's data" && len(t.lost) > 0 {
			j.wrong = append(j.wrong, fmt.Sprintf("%s is published behind a failed sync, and its bytes %v were not written again", op.Path, t.lost))
		}
		delete(j.trust, op.Path)
	case powerfs.Read:
		if op.Direct {
			t.lost = less(t.lost, e)
		}
	case powerfs.Truncate:
		t.dirty, t.lost = less(t.dirty, extent{op.Offset, 1 << 62}), less(t.lost, extent{op.Offset, 1 << 62})
	case powerfs.Write:
		if class == "slot" && op.Offset == 0 {
			t.lost = nil
		}
		t.dirty, t.lost = append(less(t.dirty, e), e), less(t.lost, e)
	case powerfs.Sync:
		if len(t.lost) > 0 && !t.told && class != "upload's data" && class != "upload's parts" {
			t.told = true
			j.wrong = append(j.wrong, fmt.Sprintf("%s is synced again behind a failed sync, and its bytes %v were not written again", op.Path, t.lost))
		}
		if f.Err != 0 {
			t.lost = append(t.lost, t.dirty...)
		}
		t.dirty = nil
	}
}

// trust is what is known of a file's bytes.
type trust struct {
	dirty []extent // written since the last sync
	lost  []extent // covered by a sync that failed
	told  bool
}

// less takes e out of a list.
func less(list []extent, e extent) (rest []extent) {
	for _, x := range list {
		if x.start < e.start {
			rest = append(rest, extent{x.start, min(x.end, e.start)})
		}
		if x.end > e.end {
			rest = append(rest, extent{max(x.start, e.end), x.end})
		}
	}
	return rest
}

// heal ends a failure that lasts. Disk is the one that fails.
func (j *injector) heal(disk *powerfs.Disk) {
	j.mu.Lock()
	j.active = false
	j.mu.Unlock()
	disk.MakeRoom()
}

// disarm keeps what has not come to pass from it.
func (j *injector) disarm() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.n, j.kill = -1, -1
}

// state says whether the failure came to pass, and whether it lasts still.
func (j *injector) state() (fired, active bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.fired, j.active
}

// String says what failed.
func (j *injector) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.fired {
		return j.name + " did not come to pass"
	}
	return fmt.Sprintf("%s: %v %s", j.name, j.op.Kind, strings.TrimSpace(j.op.Path+" "+j.op.To))
}
