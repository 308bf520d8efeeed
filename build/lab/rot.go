package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// rot spoils one byte of a state folder, starts the engine on it, lets it drain
// and looks at what the archive then holds: every byte of the journal and of the
// receipts, and bytes all over the spool. A wrong object, an overlap, a byte that
// is missing and not counted, a start that fails and a drain that does not end
// are broken promises; a panic ends the lab. "-at FILE:OFFSET -v" lives through
// one again and tells of it.
func rot(ctx context.Context, args []string) (*report, error) {
	flags := flag.NewFlagSet("rot", flag.ContinueOnError)
	var (
		every   = flags.Int("every", 1, "spoil each so manieth byte of journal and receipts")
		spool   = flags.Int("spool", 2000, "bytes of the spool to spoil")
		seed    = flags.Uint64("seed", 1, "of what is flipped")
		workers = flags.Int("workers", 8, "states at a time")
		at      = flags.String("at", "", "spoil only this byte: FILE:OFFSET")
		verbose = flags.Bool("v", false, "tell what the engine says")
	)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if !paced {
		return nil, again(ctx, append([]string{"rot"}, args...))
	}
	work, err := os.MkdirTemp(scratch(), "dray-lab-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	w, err := newRotWorld(ctx, work)
	if err != nil {
		return nil, err
	}
	rand := rand.New(rand.NewPCG(*seed, 0))
	cases, err := w.cases(rand, *every, *spool)
	if err != nil {
		return nil, err
	}
	if *at != "" {
		var one []rotCase
		for _, c := range cases {
			if c.name() == *at {
				one = append(one, c)
			}
		}
		if cases = one; cases == nil {
			return nil, fmt.Errorf("-at %s: no byte of that name is spoiled with these flags", *at)
		}
	}
	began := time.Now()
	sums := map[string]*rotSum{}
	out := &report{}
	lived := 0
	var mu sync.Mutex
	var all sync.WaitGroup
	next := make(chan rotCase)
	for i := range *workers {
		all.Go(func() {
			for c := range next {
				var told strings.Builder
				v := w.live(ctx, filepath.Join(work, fmt.Sprint("life-", i)), c, &told)
				mu.Lock()
				lived++
				if sums[c.kind] == nil {
					sums[c.kind] = &rotSum{}
				}
				sums[c.kind].add(v)
				if ctx.Err() != nil {
					v.wrong = nil // it was ended, and says so
				}
				for _, s := range v.wrong {
					out.violation("%s: %s", c.name(), s)
				}
				if *verbose {
					fmt.Fprintf(os.Stderr, "%s: %+v\n%s", c.name(), v, told.String())
				}
				mu.Unlock()
			}
		})
	}
	for _, c := range cases {
		if ctx.Err() == nil {
			next <- c
		}
	}
	close(next)
	all.Wait()
	out.figure("experiment", "%d of %d bytes spoiled, one a state, in %.0f s; the state: %s", lived, len(cases), time.Since(began).Seconds(), w)
	for _, kind := range []string{"snapshot", "log", "receipts", "spool"} {
		if s := sums[kind]; s != nil {
			out.figure(kind, "%v", s)
		}
	}
	return out, errors.Join(ctx.Err(), os.RemoveAll(work))
}

// rotSum is what became of the states of which a byte of one kind was spoiled.
type rotSum struct {
	flips, noticed, healed, gaps, tails, aside, wrong int
	lost, over                                        int64
}

func (s *rotSum) add(v rotVerdict) {
	s.flips++
	if v.noticed {
		s.noticed++
	}
	switch {
	case v.aside:
		s.aside++
	case v.lost > 0:
		s.gaps++
		s.lost += v.lost
	case v.tail:
		s.tails++
	case v.noticed:
		s.healed++
	}
	if len(v.wrong) > 0 {
		s.wrong++
	}
	s.over += v.over
}

func (s *rotSum) String() string {
	return fmt.Sprintf("%d flips, %d noticed (of those %d cost nothing, %d a counted gap, %d bytes in all, %d set the spool aside), %d in the last frame of a stream, which is as if the cut had torn it, %d in bytes that nobody needed; %d bytes counted lost that are not; 0 panics, %d promises broken",
		s.flips, s.noticed, s.healed, s.gaps, s.lost, s.aside, s.tails, s.flips-s.noticed-s.tails, s.over, s.wrong)
}

// A rotCase is a byte that is spoiled.
type rotCase struct {
	kind, file string // file in the state folder
	offset     int64
	mask       byte
}

func (c rotCase) name() string { return fmt.Sprintf("%s:%d", c.file, c.offset) }

// cases lists what to spoil.
func (w *rotWorld) cases(rand *rand.Rand, every, spool int) (list []rotCase, err error) {
	mask := func() byte { return byte(1 + rand.IntN(255)) }
	var blocks []rotCase // of the spool, those that hold anything
	err = filepath.WalkDir(w.state(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(w.state(), path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		kind := ""
		switch {
		case strings.HasPrefix(name, "journal/") && filepath.Base(name) == "snapshot":
			kind = "snapshot"
		case strings.HasPrefix(name, "journal/") && strings.Contains(name, "/log/"):
			kind = "log"
		case strings.HasPrefix(name, "receipts"):
			kind = "receipts"
		case strings.HasSuffix(name, ".slot"):
			for at := 0; at < len(b); at += rotBlock {
				if block := b[at:min(at+rotBlock, len(b))]; strings.Trim(string(block), "\x00") != "" {
					blocks = append(blocks, rotCase{kind: "spool", file: name, offset: int64(at)})
				}
			}
			return nil
		default:
			return nil
		}
		for at := rand.IntN(every); at < len(b); at += every {
			list = append(list, rotCase{kind: kind, file: name, offset: int64(at), mask: mask()})
		}
		return nil
	})
	for i := range spool {
		c := blocks[i%len(blocks)]
		c.offset += int64(rand.IntN(rotBlock))
		if i%3 == 0 {
			c.offset = c.offset/rotBlock*rotBlock + int64(rand.IntN(104)) // of the header
		}
		c.mask = mask()
		list = append(list, c)
	}
	return list, err
}

const rotBlock = 4096
