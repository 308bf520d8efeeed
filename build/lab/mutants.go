package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A mutant is the product without one of the rules that make it safe. It lives
// in this table alone: the product is built with the text changed, by way of the
// compiler's overlay of files.
type mutant struct {
	name   string // to choose it by
	rule   string // what is taken away
	scenes string // the workloads that need it
	edits  []edit
	near   string // matches the variant and kind of point to look at first; empty: any
}

// at says where the search looks first: few points show that the rule is missing.
func (m mutant) at(near string) mutant {
	m.near = near
	return m
}

// An edit replaces text that is exactly once in a file.
type edit struct{ file, old, new string }

// mutants takes away each sync and each ordering rule of the product in turn,
// and shows that the crash search finds a broken promise, and how soon. A rule
// that can be taken away unseen is a broken promise of the search.
func mutants(ctx context.Context, args []string) (*report, error) {
	fs := flag.NewFlagSet("mutants", flag.ContinueOnError)
	var (
		only    = fs.String("only", ".", "regular expression that the names of mutants must match")
		limit   = fs.Int("limit", 1500, "runs in which a mutant must be found")
		seed    = fs.Uint64("seed", 1, "of everything that is drawn")
		jobs    = fs.Int("jobs", 2, "runs at a time")
		run     = fs.String("run", "", "a single run of crash, by its name")
		verbose = fs.Bool("v", false, "tell of every run")
	)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return nil, err
	}
	lab, err := newCrashLab(ctx)
	if err != nil {
		return nil, err
	}
	defer lab.Close()
	out := &report{}
	began, found := time.Now(), 0
	plans := map[string][]crashPlan{} // by scenes: all mutants are searched alike
	for _, m := range allMutants() {
		if !match.MatchString(m.name) {
			continue
		}
		if plans[m.scenes] == nil {
			s := &crashSearch{lab: lab, seed: *seed, sweep: crashSecond, out: &report{}, classes: map[string]int{}, states: map[string]bool{}}
			if plans[m.scenes], err = s.plan(ctx, strings.Split(m.scenes, ","), 4); err != nil {
				return out, err
			}
		}
		mutated := *lab
		if mutated.program, err = m.build(ctx, root, lab.dir); err != nil {
			return out, fmt.Errorf("mutant %s: %w", m.name, err)
		}
		s := &crashSearch{lab: &mutated, seed: *seed, verbose: *verbose, first: true, out: &report{}, classes: map[string]int{}, states: map[string]bool{}, began: time.Now()}
		list := m.order(plans[m.scenes])
		if *run != "" {
			p, err := parseCrashPlan(*run)
			if err != nil {
				return out, err
			}
			list = []crashPlan{p}
		}
		if err := s.all(ctx, list[:min(*limit, len(list))], *jobs); err != nil {
			return out, fmt.Errorf("mutant %s: %w", m.name, err)
		}
		took := time.Since(s.began).Seconds()
		if s.broken == 0 {
			out.violation("%s (%s) can be taken away unseen: %d runs with %d cuts and kills in %.0f s", m.name, m.rule, s.runs, s.cuts, took)
			fmt.Fprintf(os.Stderr, "%s: NOT FOUND in %d runs\n", m.name, s.runs)
			continue
		}
		found++
		said, _, _ := strings.Cut(s.out.wrong[0], "\n")
		out.figure(m.name, "%s: run %d, %d cuts and kills, %.1f s: %.160s", m.rule, s.runs, s.cuts, took, said)
		fmt.Fprintf(os.Stderr, "%s: found with run %d: %.100s\n", m.name, s.runs, said)
	}
	out.figure("mutants", "%d of %d found, in %.0f s with building", found, found+out.count, time.Since(began).Seconds())
	return out, nil
}

// order puts the plans first in which the rule must matter.
func (m mutant) order(plans []crashPlan) []crashPlan {
	near := regexp.MustCompile(m.near)
	list := slices.Clone(plans)
	slices.SortStableFunc(list, func(a, b crashPlan) int {
		first := func(p crashPlan) int {
			if near.MatchString(p.how + " " + p.kind) {
				return 0
			}
			return 1
		}
		return first(a) - first(b)
	})
	return list
}

// moduleRoot is the folder of this module.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module's folder: %w; run the lab within it", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// build makes the daemon with the rule taken away.
func (m mutant) build(ctx context.Context, root, dir string) (program string, err error) {
	overlay, err := overlayOf(root, dir, m.edits)
	if err != nil {
		return "", err
	}
	program = filepath.Join(dir, "mutant")
	build := exec.CommandContext(ctx, "go", "build", "-tags", "lab", "-ldflags", "-s -w", "-overlay", overlay, "-o", program, "./cmd/dray")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return program, nil
}

// overlayOf writes the changed files to dir, and the list of them that the
// compiler takes. It fails if a text is not there exactly once.
func overlayOf(root, dir string, edits []edit) (path string, err error) {
	texts := map[string]string{}
	for _, e := range edits {
		text, ok := texts[e.file]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return "", err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return "", fmt.Errorf("%s: found %d times, must be there once:\n%s", e.file, n, e.old)
		}
		texts[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	replace := map[string]string{}
	for file, text := range texts {
		changed := filepath.Join(dir, strings.ReplaceAll(file, "/", "-"))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, file)] = changed
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, b, 0o600)
}
