package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/seed-7270d448/dray/build/lab/powerfs"
)

// A crashScene is a workload that a daemon lives through, and where it archives.
type crashScene struct {
	name  string
	dest  string // "s3" or "local"; the local archive is on the disk that loses power
	slots int    // of spool.max_bytes
	full  bool   // the archive is away for a while, until objects are dropped
}

var crashScenes = []crashScene{
	{name: "s3", dest: "s3", slots: 12},
	{name: "local", dest: "local", slots: 12},
	{name: "full", dest: "s3", slots: 6, full: true},
}

// Sizes of all scenes, in bytes: small, so that a few KiB go through everything.
const (
	crashSlot    = 32 << 10
	crashRoll    = 2 << 10 // of the journal
	crashReserve = 8 << 10
	crashLedger  = 2 << 10
	crashPart    = 4 << 10
	crashObject  = 10 << 10 // of the pipe's stream: three parts
	crashWhole   = 3 << 10  // of the followed file's: one put
)

// How a life ends.
const (
	endCut    = "cut"   // power
	endKill   = "kill"  // SIGKILL; the disk keeps its power
	endCalm   = "calm"  // not before its workload is done, and then by power
	remoteOps = 1 << 20 // points from here on are remote calls: 2n before call n, 2n+1 behind it
)

// An ending says when and how a life ends.
type ending struct {
	how   string
	point int // the file-system operation before which, counted from 1; or a remote call
}

func (e ending) String() string {
	switch {
	case e.how == endCalm:
		return "cut at the end"
	case e.point >= remoteOps:
		return fmt.Sprintf("%s %s remote call %d", e.how, [...]string{"before", "behind"}[e.point%2], (e.point-remoteOps)/2)
	}
	return fmt.Sprintf("%s before operation %d", e.how, e.point)
}

// A crashPlan is one run: its lives but the last, which drains.
type crashPlan struct {
	scene crashScene
	lives []ending
	how   string // the variant, as in its name
	seed  uint64
}

// The variants of a cut.
var crashVariants = []string{
	"cut",   // one cut
	"twice", // and another one during the recovery from it
	"kill",  // kill -9, recover from the page cache, run on a little, then cut
}

// newCrashPlan plans the run that begins with an end at point.
func newCrashPlan(scene crashScene, point int, how string, seed uint64) (p crashPlan, err error) {
	r := rand.New(rand.NewPCG(seed, uint64(point)))
	p = crashPlan{scene: scene, how: how, seed: seed}
	switch how {
	case "cut":
		p.lives = []ending{{endCut, point}}
	case "twice":
		p.lives = []ending{{endCut, point}, {endCut, 1 + r.IntN(50)}}
	case "kill":
		p.lives = []ending{{endKill, point}, {endCut, 1 + r.IntN(80)}}
	default:
		return p, fmt.Errorf("variant %q is not known; use %s", how, strings.Join(crashVariants, ", "))
	}
	return p, nil
}

// String is how -only names the run.
func (p crashPlan) String() string {
	return fmt.Sprintf("%s:%d:%s:%d", p.scene.name, p.lives[0].point, p.how, p.seed)
}

// parseCrashPlan reads what String wrote.
func parseCrashPlan(s string) (crashPlan, error) {
	f := strings.Split(s, ":")
	if len(f) != 4 {
		return crashPlan{}, fmt.Errorf("-only %q: write scene:point:variant:seed", s)
	}
	scene, err := crashSceneOf(f[0])
	if err != nil {
		return crashPlan{}, err
	}
	point, err := strconv.Atoi(f[1])
	if err != nil {
		return crashPlan{}, fmt.Errorf("-only %q: %w", s, err)
	}
	seed, err := strconv.ParseUint(f[3], 10, 64)
	if err != nil {
		return crashPlan{}, fmt.Errorf("-only %q: %w", s, err)
	}
	return newCrashPlan(scene, point, f[2], seed)
}

func crashSceneOf(name string) (crashScene, error) {
	for _, s := range crashScenes {
		if s.name == name {
			return s, nil
		}
	}
	return crashScene{}, fmt.Errorf("scene %q is not known", name)
}

// options are the disk's: each kind of file system in its turn.
func (p crashPlan) options() powerfs.Options {
	return powerfs.Options{Ordered: p.seed%2 == 1, NoDirect: p.seed/2%2 == 1, Seed: p.seed}
}

// cutSeed is what draws what the cut behind life i leaves: often only what was
// synced, for there a missing sync shows at once.
func (p crashPlan) cutSeed(i int) uint64 {
	if r := rand.New(rand.NewPCG(p.seed, uint64(i))); r.IntN(3) == 0 {
		return powerfs.Worst
	}
	return p.seed + uint64(i)
}

// crashClass says what an operation works on: the classes whose syncs can be
// taken away.
func crashClass(path string) string {
	rest, ok := strings.CutPrefix(path, "/state")
	if !ok {
		return "archive"
	}
	base := path[strings.LastIndexByte(path, '/')+1:]
	switch {
	case rest == "":
		return "state folder"
	case rest == "/spool":
		return "spool folder"
	case strings.HasSuffix(base, ".slot"):
		return "slot"
	case strings.HasSuffix(base, ".slot.new"):
		return "new slot"
	case rest == "/journal":
		return "journal folder"
	case base == "snapshot":
		return "snapshot"
	case base == "log":
		return "log folder"
	case strings.Contains(rest, "/log/"):
		return "journal log"
	case strings.HasPrefix(base, "reserve"):
		return "reserve"
	case strings.HasPrefix(rest, "/journal/"):
		return "generation folder"
	case strings.HasPrefix(base, "receipts"):
		return "receipts"
	}
	return "other"
}
