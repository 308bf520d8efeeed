package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/transport/transporttest"
)

// newTestBench starts a bench of its own; pauses are the engine's real ones.
func newTestBench(t *testing.T) *bench {
	dir := t.TempDir()
	g := transporttest.StartGateway(t, transporttest.GatewayOptions{Dir: filepath.Join(dir, "server"), SmallParts: true})
	b, err := newBench(g, dir, time.Minute, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) must(t *testing.T, p *plan) *outcome {
	t.Helper()
	var err error
	if _, p.modes, err = transporttest.ParseScript(p.script); err != nil {
		t.Fatal(err)
	}
	out, err := b.run(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range out.wrong {
		t.Errorf("%s: %s", p.script, w)
	}
	if out.stuck != "" {
		t.Errorf("%s: not archived: %s", p.script, out.stuck)
	}
	return out
}

// One lost reply at each call that an upload makes: one object, no second copy,
// no upload left (all of which the bench judges), and no more than the one
// affected part sent again.
func TestALostReplyAnywhereCostsOnePartAtMost(t *testing.T) {
	const partSize, size = 20_000, 3*20_000 + 5_000
	for _, tt := range []struct {
		name, script string
		whole        bool
		again        int64 // bytes that may be sent again
		creates      int
	}{
		{"create", "create drop", false, 0, 2},
		{"part 1", "part#1 drop", false, partSize, 1},
		{"part 2", "part#2 drop", false, partSize, 1},
		{"part 3", "part#3 drop", false, partSize, 1},
		{"last part", "part#4 drop", false, size - 3*partSize, 1},
		{"complete", "complete drop", false, 0, 1},
		{"put", "put drop", true, partSize - 1, 0},
		{"half a reply of create", "create cut-down=40", false, 0, 2},
		{"half a reply of complete", "complete cut-down=40", false, 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newTestBench(t)
			p := &plan{partSize: partSize, size: size, checksum: "crc32c", kind: "full_object", script: tt.script}
			if tt.whole {
				p.size = partSize - 1
			}
			out := b.must(t, p)
			if len(out.fired) != 1 {
				t.Fatalf("%d faults came to pass, want 1", len(out.fired))
			}
			if again := out.sent - p.size; again < 0 || again > tt.again {
				t.Errorf("%d bytes were sent again, want at most %d", again, tt.again)
			}
			var creates, completes int
			for _, r := range b.proxy.Requests() {
				switch {
				case strings.HasPrefix(r, "POST ") && strings.Contains(r, "uploads="):
					creates++
				case strings.HasPrefix(r, "POST "):
					completes++
				}
			}
			if creates != tt.creates {
				t.Errorf("%d uploads were asked for, want %d", creates, tt.creates)
			}
			if limit := 1 + strings.Count(tt.script, "complete"); completes > limit {
				t.Errorf("%d completes, want at most %d", completes, limit)
			}
		})
	}
}

func TestAPlanIsMadeFromItsSeedAlone(t *testing.T) {
	for seed := range uint64(20_000) { // there is none that never ends
		p, q := newPlan(seed), newPlan(seed)
		if p.String() != q.String() {
			t.Fatalf("seed %d: %v, then %v", seed, p, q)
		}
		if p.parts() < 3 {
			t.Errorf("seed %d: %d parts, want at least 3", seed, p.parts())
		}
		faults, modes, err := transporttest.ParseScript(p.script)
		if err != nil || len(faults) < 3 {
			t.Errorf("seed %d: %d faults, %v, want at least 3", seed, len(faults), err)
		}
		if got := transporttest.FormatScript(faults, modes); strings.Count(got, ";") != strings.Count(p.script, ";") {
			t.Errorf("seed %d: %q was read as %q", seed, p.script, got)
		}
	}
}

// A judge that calls everything good would be no judge.
func TestTheBenchSeesWhatIsWrong(t *testing.T) {
	b := newTestBench(t)
	p := &plan{seed: 7, partSize: 20_000, size: 50_000, checksum: "crc32c", kind: "full_object", script: "create drop"}
	var err error
	if _, p.modes, err = transporttest.ParseScript(p.script); err != nil {
		t.Fatal(err)
	}
	spoil := func(what func(dir string) error) []string {
		t.Helper()
		b.log = spoiler(func(line string) error {
			if !strings.Contains(line, "msg=archived") {
				return nil
			}
			return filepath.WalkDir(b.gateway.BucketDir, func(path string, d os.DirEntry, err error) error {
				if err != nil || d.IsDir() || !strings.Contains(path, "7-case-") {
					return err
				}
				return what(path)
			})
		})
		defer func() { b.log = nil }()
		out, err := b.run(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return out.wrong
	}
	for name, what := range map[string]func(path string) error{
		"removed":      os.Remove,
		"other bytes":  func(path string) error { return os.WriteFile(path, make([]byte, 50_000), 0o644) },
		"a second one": func(path string) error { return os.WriteFile(path+"-copy", nil, 0o644) },
	} {
		if wrong := spoil(what); len(wrong) == 0 {
			t.Errorf("%s: nothing was said", name)
		}
	}
	if wrong := spoil(func(string) error { return nil }); len(wrong) > 0 {
		t.Errorf("nothing was spoiled, and yet: %q", wrong)
	}
}

// A spoiler is called with each line that is logged.
type spoiler func(line string) error

func (s spoiler) Write(p []byte) (int, error) { return len(p), s(string(p)) }

var _ io.Writer = spoiler(nil)

func TestTheCampaignTellsOfTheFirstSeedThatFails(t *testing.T) {
	c := &campaign{kinds: map[string]int{}, reasons: map[string]int{}}
	p := newPlan(42)
	out := &outcome{wrong: []string{"no object"}, fired: []transporttest.Fault{{}, {}, {}}}
	c.add(p, out)
	r := c.report()
	if !r.broken() || !slices.ContainsFunc(r.wrong, func(s string) bool { return strings.Contains(s, fmt.Sprint("seed ", p.seed)) }) {
		t.Errorf("got %q, want seed 42 named", r.wrong)
	}
}
