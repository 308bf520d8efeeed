package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/engine"
)

// An archive of lines, as numbers.
func archiveOf(numbers ...int) []byte {
	var b []byte
	for _, n := range numbers {
		b = append(b, makeLine(n)...)
	}
	return b
}

func TestLineCheckSeesWhatIsWrong(t *testing.T) {
	tests := []struct {
		name                       string
		archive                    []byte
		written                    int
		missing, twice, torn, good int
	}{
		{"whole", archiveOf(0, 1, 2), 3, 0, 0, 0, 3},
		{"hole", archiveOf(0, 3), 4, 1, 0, 0, 2},
		{"end lost", archiveOf(0, 1), 5, 1, 0, 0, 2},
		{"twice", archiveOf(0, 1, 1, 2), 3, 0, 1, 0, 4},
		{"torn", append(archiveOf(0), archiveOf(1, 2)[10:]...), 3, 1, 0, 1, 2},
		{"merged", append(archiveOf(0, 1)[:100], archiveOf(3)[30:]...), 2, 1, 0, 1, 1},
		{"half a line at the end", archiveOf(0, 1)[:70], 2, 1, 0, 1, 1},
		{"bit flipped", append(archiveOf(0)[:30], append([]byte{'~'}, archiveOf(0)[31:]...)...), 1, 1, 0, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &lineCheck{report: &report{}}
			// In odd pieces, as objects end where they like.
			for p := tt.archive; len(p) > 0; {
				n := min(7, len(p))
				if _, err := c.Write(p[:n]); err != nil {
					t.Fatal(err)
				}
				p = p[n:]
			}
			c.finish(tt.written)
			if len(c.missing) != tt.missing || c.twice != tt.twice || c.torn != tt.torn || c.lines != tt.good {
				t.Errorf("got %d missing runs, %d twice, %d torn, %d lines; want %d, %d, %d, %d",
					len(c.missing), c.twice, c.torn, c.lines, tt.missing, tt.twice, tt.torn, tt.good)
			}
			if got, want := c.report.broken(), tt.twice+tt.torn > 0; got != want {
				t.Errorf("broken: got %v, want %v", got, want)
			}
		})
	}
}

func TestHolesMustBeInTheMetadata(t *testing.T) {
	tests := []struct {
		name   string
		second object
		broken bool
		holes  int
	}{
		{"tiles", object{start: 100, end: 200, hasMeta: true}, false, 0},
		{"counted gap", object{start: 120, end: 200, gap: 20, hasMeta: true}, false, 1},
		{"silent hole", object{start: 120, end: 200, hasMeta: true}, true, 1},
		{"overlap", object{start: 90, end: 200, hasMeta: true}, true, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := &report{}
			holes, _ := checkTiles(out, []object{{end: 100, hasMeta: true}, tt.second})
			if out.broken() != tt.broken || len(holes) != tt.holes {
				t.Errorf("got %q and %d holes, want broken %v and %d holes", out.wrong, len(holes), tt.broken, tt.holes)
			}
		})
	}
}

func TestAKeptByteThatIsMissingIsSeen(t *testing.T) {
	objects := []object{{start: 0, end: 100}, {start: 150, end: 200}}
	holes := []extent{{100, 150}}
	tests := []struct {
		name   string
		kept   []int64
		broken bool
	}{
		{"hole made after the mark", []int64{100, 160}, false},
		{"mark inside the hole", []int64{90, 120, 160}, true},
		{"mark beyond the archive", []int64{201}, true},
		{"mark went back", []int64{100, 90}, true},
		{"daemon did not answer", []int64{-1, 100, -1}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := &report{}
			var cuts []cut
			for _, k := range tt.kept {
				cuts = append(cuts, cut{kept: k})
			}
			judgeKept(out, cuts, objects, holes)
			if out.broken() != tt.broken {
				t.Errorf("got %q, want broken %v", out.wrong, tt.broken)
			}
		})
	}
}

func TestOnlyYoungLinesMayBeLostToAKill(t *testing.T) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	// One line a second: line n is made at second n.
	f := &feed{}
	for n := range 20 {
		f.batches = append(f.batches, batch{n + 1, at(float64(n))})
	}
	cuts := []cut{
		{reads: at(0.5), at: at(5.5)},
		{at: at(7.5)}, // killed before it read
		{reads: at(9.5), at: at(14.5)},
		{reads: at(15.5)}, // drained
	}
	tests := []struct {
		name    string
		missing run
		broken  bool
	}{
		{"young at the kill", run{4, 6}, false},
		{"old at the kill", run{3, 6}, true},
		{"while nobody read", run{6, 10}, false},
		{"across a life that never read", run{5, 10}, false},
		{"in the last life", run{17, 18}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, r := &report{}, &rig{feed: f, last: engine.StreamStatus{Gaps: 1}}
			r.judgeLines(out, cuts, []run{tt.missing}, 2*time.Second)
			if out.broken() != tt.broken {
				t.Errorf("got %q, want broken %v", out.wrong, tt.broken)
			}
		})
	}
}

func TestALossThatNobodyCountedIsSeen(t *testing.T) {
	now := time.Now()
	r := &rig{feed: &feed{batches: []batch{{10, now}}}}
	out := &report{}
	r.judgeLines(out, []cut{{reads: now.Add(-time.Second), at: now.Add(time.Millisecond)}}, []run{{8, 10}}, time.Second)
	if !out.broken() {
		t.Error("two lines are missing, no gap is counted, and nothing was said")
	}
}

func TestTheFeedWritesEveryLineThatItDidNotNoteAsDropped(t *testing.T) {
	for _, waits := range []bool{false, true} {
		const lines = 2000
		f, err := newFeed(4<<20, lines, waits)
		if err != nil {
			t.Fatal(err)
		}
		last := makeLine(lines) // written behind the feed, for the reader to know the end
		read := make(chan []byte, 1)
		go func() {
			var got []byte
			b := make([]byte, 4096)
			for !bytes.HasSuffix(got, last) {
				n, err := f.slave.Read(b)
				if err != nil {
					break
				}
				got = append(got, b[:n]...)
			}
			read <- got
		}()
		if err := errors.Join(f.run(t.Context()), f.put(last)); err != nil {
			t.Fatal(err)
		}
		c := &lineCheck{report: &report{}}
		if _, err := c.Write(<-read); err != nil {
			t.Fatal(err)
		}
		c.finish(lines + 1)
		// A slow machine may drop some; whichever they are, they are noted.
		if c.report.broken() || !slices.Equal(c.missing, f.dropped) || waits && len(f.dropped) > 0 {
			t.Errorf("waits %v: got %v missing, %q; want the dropped ones, %v", waits, c.missing, c.report.wrong, f.dropped)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOnlyAPortThatStaysFullCountsAsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &feed{}
		f.room(64, 64)
		time.Sleep(9 * time.Second) // the feed was not let run
		f.room(64, 64)
		if got := f.longestFull(); got != 0 {
			t.Errorf("full for %v, want never", got)
		}
		f.room(10, 64)
		time.Sleep(time.Second)
		f.room(0, 54)
		time.Sleep(time.Second)
		f.room(0, 54)
		time.Sleep(9 * time.Second) // the feed was not let run: it had room long since
		f.room(54, 54)
		if got, want := f.longestFull(), 2*time.Second; got != want {
			t.Errorf("full for %v, want %v", got, want)
		}
	})
}

func TestTheFeedDropsWholeLinesWhenNobodyReads(t *testing.T) {
	const due = 10_000 // 640,000 bytes: more than the kernel buffers
	f, err := newFeed(1, due, false)
	if err != nil {
		t.Fatal(err)
	}
	half, err := f.until(due, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := f.made() - dropCount(f) // of which the last may be half written
	if want == 0 || want == due {
		t.Fatalf("the kernel took %d of %d lines unread", want, due)
	}
	read := make(chan []byte, 1)
	go func() {
		b := make([]byte, want*lineSize)
		n, err := io.ReadFull(f.slave, b)
		if err != nil {
			n = 0
		}
		read <- b[:n]
	}()
	if err := f.put(half); err != nil {
		t.Fatal(err)
	}
	c := &lineCheck{report: &report{}}
	if _, err := c.Write(<-read); err != nil {
		t.Fatal(err)
	}
	if c.lines != want || c.report.broken() {
		t.Errorf("got %d lines, %q; want %d whole ones", c.lines, c.report.wrong, want)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func dropCount(f *feed) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.dropped {
		n += r.end - r.first
	}
	return n
}

func TestTheProxyCountsWhatTheServerTook(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil || strings.Contains(r.URL.Path, "refused") {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer server.Close()
	p, err := newProxy(server.URL, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, req := range []struct{ method, path string }{
		{"POST", "/b/dir/key?uploads="},
		{"PUT", "/b/dir/key?uploadId=u&partNumber=1"},
		{"PUT", "/b/dir/key?uploadId=u&partNumber=1"},
		{"PUT", "/b/refused?uploadId=u&partNumber=1"},
		{"PUT", "/b/small"},
		{"POST", "/b/dir/key?uploadId=u"},
		{"DELETE", "/b/dir/key?uploadId=v"},
		{"GET", "/b/?list-type=2"},
	} {
		r, err := http.NewRequest(req.method, p.Endpoint+req.path, strings.NewReader("0123456789"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if p.creates["dir/key"] != 1 || p.parts["dir/key"]["u"][1] != 2 || p.puts != 1 || p.aborts != 1 || p.sent != 40 {
		t.Errorf("got creates %v, parts %v, %d puts, %d aborts, %d bytes; want 1, 2 of part 1, 1, 1, 40", p.creates, p.parts, p.puts, p.aborts, p.sent)
	}
	if len(p.parts["refused"]) != 0 {
		t.Error("a refused part was counted")
	}
}
