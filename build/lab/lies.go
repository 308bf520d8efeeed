package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed-7270d448/dray/engine"
)

// A lie is one way in which a link fails or deceives.
type lie struct {
	name   string
	begin  func(*liar) error
	end    func(*liar) error
	lasts  time.Duration
	noted  time.Duration // it must be seen in status within so long
	silent bool          // it may pass without a failure: nothing has to be seen
}

// lies lets a link lie to the real daemon, which lives in a network namespace of
// its own: each lie must be seen within the time that the README states, the
// first request after it must have succeeded within two seconds, and the bucket
// must hold at the end what was fed, byte for byte, with as many receipts as
// objects. It needs root, for the namespace.
func lies(ctx context.Context, args []string) (*report, error) {
	set := flag.NewFlagSet("lies", flag.ContinueOnError)
	back := set.Duration("back", 2*time.Second, "in which a request must have succeeded after a lie")
	only := set.String("only", "", "the one lie to be told")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	l, err := newLiar(ctx, "{type: stdin}", "100MiB/s", "10GiB")
	if err != nil {
		return nil, err
	}
	to, err := l.start()
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	l.feeding.Go(func() { l.fail = l.feed(to) })
	out := &report{}
	err = l.tellAll(ctx, out, *back, *only)
	return out, errors.Join(err, l.Close())
}

var allLies = []lie{
	{name: "200 with HTML", begin: script("any lie=html *1000000"), end: truth, lasts: 6 * time.Second, noted: 3 * time.Second},
	{name: "200 with nothing", begin: script("any lie=empty *1000000"), end: truth, lasts: 6 * time.Second, noted: 3 * time.Second},
	{name: "5xx", begin: script("any status=500:InternalError *1000000"), end: truth, lasts: 6 * time.Second, noted: 3 * time.Second},
	{name: "wrong Date", begin: script("any skew=8760h *1000000"), end: truth, lasts: 6 * time.Second, silent: true},
	{name: "RST in mid-part", begin: script("put reset=60000 *1000000"), end: truth, lasts: 6 * time.Second, noted: 3 * time.Second},
	{name: "address changes", begin: (*liar).move, end: func(*liar) error { return nil }, noted: time.Second},
	{name: "portal of another network, where the name leads to it", begin: (*liar).roam, end: (*liar).comeHome, lasts: 8 * time.Second, noted: 2 * time.Second},
	{name: "carrier lost", begin: (*liar).unplug, end: (*liar).plug, lasts: 15 * time.Second, noted: 35 * time.Second, silent: true},
	{name: "NAT forgets an idle connection", begin: (*liar).forget, end: (*liar).remember, lasts: 65 * time.Second, silent: true},
	{name: "black hole", begin: (*liar).swallow, end: (*liar).spit, lasts: 50 * time.Second, noted: 35 * time.Second},
}

func (l *liar) tellAll(ctx context.Context, out *report, back time.Duration, only string) error {
	if err := l.well(ctx, time.Now(), time.Minute); err != nil {
		return err
	}
	for _, lie := range allLies {
		if only != "" && only != lie.name {
			continue
		}
		if err := l.tell(ctx, lie, out, back); err != nil {
			return fmt.Errorf("%s: %w", lie.name, err)
		}
	}
	return l.judge(ctx, out)
}

// tell tells one lie, and then the truth.
func (l *liar) tell(ctx context.Context, lie lie, out *report, most time.Duration) error {
	pause(ctx, 3*time.Second) // of health in between
	before, err := l.status(ctx)
	if err != nil {
		return err
	}
	l.mark = time.Now()
	if err := lie.begin(l); err != nil {
		return err
	}
	began := l.mark
	var noted time.Duration
	said := ""
	for time.Since(began) < max(lie.lasts, lie.noted/2) || noted == 0 && !lie.silent && time.Since(began) < max(lie.lasts, lie.noted) {
		s, err := l.status(ctx)
		if err != nil {
			return err
		}
		if bad := s.LastError != "" || s.Wire.Stalls > before.Wire.Stalls || s.Wire.Changes > before.Wire.Changes; bad && noted == 0 {
			noted, said = time.Since(began), s.LastError
		}
		if said == "" && noted > 0 {
			said = s.LastError
		}
		pause(ctx, 20*time.Millisecond)
	}
	if lie.lasts > 0 {
		l.mark = time.Now()
	}
	if err := lie.end(l); err != nil {
		return err
	}
	ended := l.mark
	if err := l.well(ctx, ended, time.Minute); err != nil {
		return err
	}
	s, err := l.status(ctx)
	if err != nil {
		return err
	}
	useful := s.LastSuccess.Sub(ended)
	seen := fmt.Sprintf("seen after %.2f s: %s", noted.Seconds(), clipped(said, 150))
	if noted == 0 {
		seen = "without a failure"
	}
	out.figure(lie.name, "%.0f s; first success %.2f s after it; %s", ended.Sub(began).Seconds(), useful.Seconds(), seen)
	if useful > most {
		out.violation("%s: the first success came %v after it", lie.name, useful)
	}
	if !lie.silent && (noted == 0 || noted > lie.noted) {
		out.violation("%s: seen after %v, want at most %v", lie.name, noted, lie.noted)
	}
	return nil
}

func clipped(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

// well waits until a request has succeeded that ended after since.
func (l *liar) well(ctx context.Context, since time.Time, within time.Duration) error {
	for {
		s, err := l.status(ctx)
		if err == nil && s.LastSuccess.After(since) {
			return nil
		}
		if time.Since(since) > within {
			return fmt.Errorf("no success within %v: %+v (%v)\n%s", within, s, err, l.output.String())
		}
		pause(ctx, 5*time.Millisecond)
	}
}

// status asks the daemon for the link.
func (l *liar) status(ctx context.Context) (engine.DestinationStatus, error) {
	all, err := l.statusOfAll(ctx)
	if err != nil {
		return engine.DestinationStatus{}, err
	}
	return all.Destinations[0], nil
}

func (l *liar) statusOfAll(ctx context.Context) (s engine.Status, err error) {
	body, err := l.rig.call(ctx, "GET", "/status")
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return s, err
	}
	if len(s.Destinations) != 1 {
		return s, fmt.Errorf("status has %d destinations", len(s.Destinations))
	}
	return s, nil
}

// judge stops the feed, waits until all is archived, and compares.
func (l *liar) judge(ctx context.Context, out *report) error {
	fed, err := l.stopFeed()
	if err != nil {
		return err
	}
	var s engine.Status
	for began := time.Now(); ; pause(ctx, 50*time.Millisecond) {
		if s, err = l.statusOfAll(ctx); err != nil {
			return err
		}
		if st := s.Streams[0]; st.Archived == int64(fed.Len()) {
			break
		} else if time.Since(began) > time.Minute {
			return fmt.Errorf("%d bytes fed, %d archived a minute later", fed.Len(), st.Archived)
		}
	}
	carried, err := l.carried()
	if err != nil {
		return err
	}
	if took, err := l.rig.stop(); err != nil || took > 5*time.Second {
		return fmt.Errorf("stop took %v: %w", took, err)
	}
	var keys []string
	var got bytes.Buffer
	err = filepath.WalkDir(l.gateway.BucketDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		keys = append(keys, path)
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(keys) // starts have a fixed width
	for _, path := range keys {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		got.Write(b)
	}
	receipts, err := os.ReadFile(filepath.Join(l.rig.stateDir(), "receipts.jsonl"))
	if err != nil {
		return err
	}
	n := bytes.Count(receipts, []byte("\n"))
	out.figure("archive", "%d bytes fed, %d in %d objects, %d receipts, %d gaps", fed.Len(), got.Len(), len(keys), n, s.Streams[0].Gaps)
	if !bytes.Equal(got.Bytes(), fed.Bytes()) {
		out.violation("the archive is not what was fed")
	}
	if n != len(keys) {
		out.violation("%d receipts for %d objects", n, len(keys))
	}
	w := s.Destinations[0].Wire
	out.figure("wire", "%d requests, %d connections, %d broken, %d stalls, %d ended by a changed network", w.Requests, w.Connections, w.Broken, w.Stalls, w.Changes)
	counted := s.Budgets[0].Day.Bytes
	out.figure("budget", "%d bytes counted; the interface carried %d in IP packets (%.3f)", counted, carried, float64(counted)/float64(carried))
	if counted < carried {
		out.violation("the budget counted %d bytes, the interface carried %d", counted, carried)
	}
	return nil
}
