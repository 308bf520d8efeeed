package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-7270d448/dray/build/lab/powerfs"
)

// A crashScene is a workload that a daemon lives through, and where it archives.
type crashScene struct {
	name  string
	dest  string // "s3", "glacier" or "local"; the local archive is on the disk that loses power
	slots int    // of spool.max_bytes
	lines int    // of the followed file, at the start
	full  bool   // the archive is away for a while, until objects are dropped
	gone  bool   // an upload is said to be no more
	needs []string
}

// What a workload must go through, or the search would say more than it shows.
var (
	crashNeeds = []string{"rename new slot", "write header of a slot used before", "rename generation folder", "write receipts"}
	s3Needs    = []string{"behind PutObject", "behind CreateMultipartUpload", "behind UploadPart", "behind CompleteMultipartUpload"}
	vaultNeeds = []string{"rename new slot", "rename generation folder", "write receipts", "behind CreateMultipartUpload", "behind UploadPart", "behind CompleteMultipartUpload"}
	goneNeeds  = []string{"behind AbortMultipartUpload", "behind ListMultipartUploads"}
	localNeeds = []string{"write upload's data", "write upload's parts", "rename upload's claim", "rename upload's data", "rmdir upload"}
)

var crashScenes = []crashScene{
	{name: "s3", dest: "s3", slots: 12, lines: 550, gone: true, needs: slices.Concat(crashNeeds, []string{"rename receipts"}, s3Needs, goneNeeds)},
	{name: "local", dest: "local", slots: 12, lines: 150, needs: slices.Concat(crashNeeds, []string{"rename receipts"}, localNeeds)},
	{name: "full", dest: "s3", slots: 6, lines: 150, full: true, needs: crashNeeds},
	{name: "vault", dest: "glacier", slots: 12, lines: 150, needs: vaultNeeds},
}

// Sizes of all scenes, in bytes: small, so that a few KiB go through everything.
const (
	crashSlot    = 32 << 10
	crashRoll    = 2 << 10 // of the journal
	crashReserve = 8 << 10
	crashLedger  = 2 << 10
	crashPart    = 4<<10 + 34 // no whole number of lines: some stand in two frames
	crashObject  = 10 << 10   // of the pipe's stream: three parts
	crashWhole   = 3 << 10    // of the followed file's: one put
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
	kind  string // of its point, where that is known
	seed  uint64 // of what the cuts leave, and the kind of disk
}

// The variants of a cut.
var crashVariants = []string{
	"cut",   // one cut
	"twice", // and another one during the recovery from it
	"kill",  // kill -9, recover from the page cache, run on a little, then cut
}

// A second ending is drawn among so many operations of the life that recovers.
const crashSecond = 80

// newCrashPlan plans the run that begins with an end at point. The life after
// it ends before operation second; 0 draws one.
func newCrashPlan(scene crashScene, point, second int, how string, seed uint64) (p crashPlan, err error) {
	if second == 0 {
		second = 1 + rand.New(rand.NewPCG(seed, uint64(point))).IntN(crashSecond)
	}
	p = crashPlan{scene: scene, how: how, seed: seed}
	switch how {
	case "cut":
		p.lives = []ending{{endCut, point}}
	case "twice":
		p.lives = []ending{{endCut, point}, {endCut, second}}
	case "kill":
		p.lives = []ending{{endKill, point}, {endCut, second}}
	default:
		return p, fmt.Errorf("variant %q is not known; use %s", how, strings.Join(crashVariants, ", "))
	}
	return p, nil
}

// String is how -only names the run.
func (p crashPlan) String() string {
	point := strconv.Itoa(p.lives[0].point)
	if len(p.lives) > 1 {
		point += "+" + strconv.Itoa(p.lives[1].point)
	}
	return fmt.Sprintf("%s:%s:%s:%d", p.scene.name, point, p.how, p.seed)
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
	first, then, _ := strings.Cut(f[1], "+")
	point, err := strconv.Atoi(first)
	if err != nil {
		return crashPlan{}, fmt.Errorf("-only %q: %w", s, err)
	}
	second := 0
	if then != "" {
		if second, err = strconv.Atoi(then); err != nil {
			return crashPlan{}, fmt.Errorf("-only %q: %w", s, err)
		}
	}
	seed, err := strconv.ParseUint(f[3], 10, 64)
	if err != nil {
		return crashPlan{}, fmt.Errorf("-only %q: %w", s, err)
	}
	return newCrashPlan(scene, point, second, f[2], seed)
}

func crashSceneOf(name string) (crashScene, error) {
	for _, s := range crashScenes {
		if s.name == name {
			return s, nil
		}
	}
	return crashScene{}, fmt.Errorf("scene %q is not known", name)
}

// crashDisks is how many kinds of disk there are. What is left of a seed says
// which: names in order or not, and whether the last cut leaves nothing that was
// not synced, where a missing sync shows at once, or what chance will.
const crashDisks = 4

func (p crashPlan) options() powerfs.Options {
	return powerfs.Options{Ordered: p.seed%2 == 1, NoDirect: p.seed&noDirectSeed != 0, Seed: p.seed}
}

const noDirectSeed = 4 // the bit of a seed that draws a disk without O_DIRECT

// cutSeed is what draws what the cut behind life i leaves.
func (p crashPlan) cutSeed(i int) uint64 {
	worst := p.seed/2%2 == 0
	if i < len(p.lives)-1 {
		worst = rand.New(rand.NewPCG(p.seed, uint64(i))).IntN(3) == 0
	}
	if worst {
		return powerfs.Worst
	}
	return p.seed + uint64(i)
}

// inTurn orders points so that the first of each kind come first, and the second
// of each kind behind them: what is rare is met as early as what is frequent.
func inTurn[P any](r *rand.Rand, kinds map[string][]P) (list []P) {
	names := slices.Sorted(maps.Keys(kinds))
	for _, name := range names {
		r.Shuffle(len(kinds[name]), func(i, j int) { kinds[name][i], kinds[name][j] = kinds[name][j], kinds[name][i] })
	}
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for i, more := 0, true; more; i++ {
		more = false
		for _, name := range names {
			if i < len(kinds[name]) {
				list, more = append(list, kinds[name][i]), true
			}
		}
	}
	return list
}

// crashClass says what an operation works on.
func crashClass(path string) string {
	rest, ok := strings.CutPrefix(path, "/state")
	if !ok {
		return archiveClass(path)
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

// archiveClass is crashClass for the local archive.
func archiveClass(path string) string {
	own, ok := strings.CutPrefix(path, "/archive/.dray/")
	dir, rest, _ := strings.Cut(own, "/")
	switch _, file, deep := strings.Cut(rest, "/"); {
	case path == "/":
		return "root"
	case !ok && strings.HasSuffix(path, ".log"):
		return "object"
	case !ok:
		return "archive"
	case rest == "":
		return "folder of " + dir
	case dir == "meta" && deep:
		return "claim"
	case dir == "meta":
		return "folder of claims"
	case deep:
		return "upload's " + file
	}
	return "upload"
}
