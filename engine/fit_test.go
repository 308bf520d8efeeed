package engine

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-7270d448/dray/transport"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

func TestSizesFitWhatTheLinkCarries(t *testing.T) {
	for _, tt := range []struct {
		name           string
		limits         transport.Limits
		fit            fit
		part, object   int64 // asked for
		parts, object2 int64
		workers        int
	}{
		{"nothing known", s3Limits, fit{}, 8 * mib, 64 * mib, 8 * mib, 64 * mib, 4},
		{"8 KiB is the least", s3Limits, fit{carries: 20 * kib}, 8 * mib, 64 * mib, 5 * mib, 8 * kib, 2},
		{"64 KiB", s3Limits, fit{carries: 64 * kib}, 8 * mib, 64 * mib, 5 * mib, 16 * kib, 2},
		{"256 KiB", s3Limits, fit{carries: 250 * kib}, 8 * mib, 64 * mib, 5 * mib, 16 * kib, 2},
		{"1 MiB", s3Limits, fit{carries: mib}, 8 * mib, 64 * mib, 5 * mib, 128 * kib, 2},
		{"10 MiB", s3Limits, fit{carries: 10 * mib}, 8 * mib, 64 * mib, 5 * mib, mib, 2},
		{"parts from 25 MiB on", s3Limits, fit{carries: 25 * mib}, 8 * mib, 64 * mib, 5 * mib, 64 * mib, 1},
		{"smaller than asked for, never larger", s3Limits, fit{carries: 900 * mib}, 256 * mib, 1 << 30, 64 * mib, 1 << 30, 1},
		{"as asked for", s3Limits, fit{carries: 900 * mib}, 16 * mib, 1 << 30, 16 * mib, 1 << 30, 1},
		{"no more than 10,000 parts", s3Limits, fit{carries: 30 * mib}, 64 * mib, 100 << 30, 5 * mib, 50_000 * mib, 1},
		{"small objects stay as they are", s3Limits, fit{carries: 64 * kib}, 5 * mib, 4 * kib, 5 * mib, 4 * kib, 2},
		{"slow", s3Limits, fit{rate: 10 * kib}, 64 * mib, 640 * mib, 5 * mib, 640 * mib, 1},
		{"fast", s3Limits, fit{rate: mib}, 64 * mib, 640 * mib, 64 * mib, 640 * mib, 4},
		{"vault, powers of two", glacierLimits, fit{carries: 30 * mib}, 8 * mib, 64 * mib, 2 * mib, 64 * mib, 1},
		{"vault, 5 MiB", glacierLimits, fit{carries: 5 * mib}, 8 * mib, 64 * mib, mib, 64 * mib, 1},
		{"vault, 1 MiB", glacierLimits, fit{carries: mib}, 8 * mib, 64 * mib, mib, 128 * kib, 2},
	} {
		part := tt.fit.part(tt.limits, tt.part)
		object := tt.fit.object(tt.limits, part, tt.object)
		workers := tt.fit.workers(tt.limits, 4)
		if part != tt.parts || object != tt.object2 || workers != tt.workers {
			t.Errorf("%s: parts of %s, objects of %s, %d workers; want %s, %s, %d",
				tt.name, sizeText(part), sizeText(object), workers, sizeText(tt.parts), sizeText(tt.object2), tt.workers)
		}
	}
}

func TestAFitIsAlwaysTakenByTheDestination(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := rapid.SampledFrom([]transport.Limits{s3Limits, glacierLimits}).Draw(t, "limits")
		f := fit{carries: rapid.Int64Range(0, 1<<40).Draw(t, "carries"), rate: rapid.Int64Range(0, 1<<30).Draw(t, "rate")}
		want := l.MinPart << rapid.IntRange(0, 6).Draw(t, "part")
		most := rapid.Int64Range(kib, want*int64(l.MaxParts)).Draw(t, "object")
		part := f.part(l, want)
		object := f.object(l, part, most)
		if part < l.MinPart || part > want || l.PowerOf2 && part != powerOf2(part) {
			t.Fatalf("parts of %d bytes, %d are configured", part, want)
		}
		if object < 1 || object > most || (object-1)/part+1 > int64(l.MaxParts) {
			t.Fatalf("objects of %d bytes in parts of %d, %d are configured", object, part, most)
		}
		if f.hopeless(min(part, object), l) && f.carries >= 2*leastObject {
			t.Fatalf("objects of %d bytes in parts of %d are planned, and are hopeless", object, part)
		}
		if f.tooLarge(f.share(), l) {
			t.Fatalf("a slice of %d bytes would be sliced again", f.share())
		}
		if w := f.workers(l, 4); w != 1 && w != 2 && w != 4 {
			t.Fatalf("%d workers", w)
		}
	})
}

func TestStatusExplainsTheSizes(t *testing.T) {
	for _, tt := range []struct {
		fit   fit
		words []string
	}{
		{fit{}, nil},
		{fit{rate: mib}, nil},
		{fit{rate: kib}, []string{"1 KiB a second", "one request at a time"}},
		{fit{carries: 64 * kib}, []string{"64 KiB between failures", "fewer than 5 parts of 5 MiB", "objects of at most 16 KiB", "sliced"}},
		{fit{carries: 40 * mib}, []string{"40 MiB between failures", "parts of at most 5 MiB"}},
	} {
		got := tt.fit.text(s3Limits, 4)
		if tt.words == nil && got != "" {
			t.Errorf("%+v: %q, want nothing", tt.fit, got)
		}
		for _, w := range tt.words {
			if !strings.Contains(got, w) {
				t.Errorf("%+v: %q does not say %q", tt.fit, got, w)
			}
		}
	}
}

// A wire is what a gauge sees of a link.
type wire struct {
	gauge
	now   time.Time
	count LinkCounters
}

// cut lets a connection break that had carried n bytes.
func (w *wire) cut(n int64) {
	began := w.now
	w.now = w.now.Add(time.Second)
	w.count.Broken++
	w.count.BrokenBytes += n
	w.done(began, w.now, 1, 0, w.count)
}

// carry lets a body of n bytes arrive within d, in.
func (w *wire) carry(n int64, d time.Duration, inFlight int) {
	began := w.now
	w.now = w.now.Add(d)
	w.done(began, w.now, inFlight, n, w.count)
}

func TestTheGaugeLearnsFromSeveralFailures(t *testing.T) {
	w := wire{now: paceStart}
	w.cut(60 * kib)
	w.cut(64 * kib)
	if f := w.fit(); f != (fit{}) {
		t.Errorf("after two failures: %+v, want nothing known", f)
	}
	w.cut(30 * mib) // an odd one
	if f := w.fit(); f.carries != 64*kib {
		t.Errorf("carries %d, want the median %d", f.carries, 64*kib)
	}
	for range 5 {
		w.cut(mib)
	}
	if f := w.fit(); f.carries != mib {
		t.Errorf("carries %d after five failures at 1 MiB", f.carries)
	}
}

func TestFailuresThatTellNothingOfSizesAreNoLesson(t *testing.T) {
	w := wire{now: paceStart}
	for range 9 { // a server that resets each connection
		w.cut(kib)
	}
	if f := w.fit(); f.carries != 0 {
		t.Errorf("carries %d, want nothing known", f.carries)
	}
	// Four requests that one failure of the link ends are one failure.
	began := w.now
	for i := range 4 {
		w.now = w.now.Add(time.Millisecond)
		w.count.Broken++
		w.count.BrokenBytes += int64(i+1) * mib
		w.done(began, w.now, 4, 0, w.count)
	}
	if len(w.failures) != 1 {
		t.Errorf("%d failures counted, want 1", len(w.failures))
	}
}

func TestSizesGrowBackOnAGoodLink(t *testing.T) {
	w := wire{now: paceStart}
	for range 5 {
		w.cut(64 * kib)
	}
	sent, last := int64(0), int64(0)
	for w.fit().carries > 0 {
		n := w.fit().object(s3Limits, 8*mib, 64*mib)
		if n < last {
			t.Fatalf("objects shrank from %d to %d on a good link", last, n)
		}
		last = min(n, 8*mib)
		w.carry(last, time.Second, 1)
		if sent += last; sent > 2*goodRun {
			t.Fatalf("after %d bytes without a failure objects are of %d bytes", sent, n)
		}
	}
	if f := w.fit(); f.object(s3Limits, 8*mib, 64*mib) != 64*mib || f.workers(s3Limits, 4) != 4 {
		t.Errorf("sizes are not as configured again: %+v", f)
	}
}

func TestWhatWasLearntOutlivesARestart(t *testing.T) {
	w := wire{now: paceStart}
	w.recall(64 * kib)
	if f := w.fit(); f.carries != 64*kib {
		t.Errorf("carries %d, want %d", f.carries, 64*kib)
	}
}

func TestTheRateIsThatOfTheLink(t *testing.T) {
	w := wire{now: paceStart}
	for range 3 {
		w.carry(10*kib, time.Second, 1)
	}
	if f := w.fit(); f.rate != 10*kib || f.workers(s3Limits, 4) != 1 {
		t.Errorf("%+v, want %d bytes a second and one worker", f, 10*kib)
	}
	for range 5 { // four at a time share it
		w.carry(10*kib, 4*time.Second, 4)
	}
	if f := w.fit(); f.rate != 10*kib {
		t.Errorf("%d bytes a second, want %d", f.rate, 10*kib)
	}
}
