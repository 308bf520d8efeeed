package engine

import (
	"cmp"
	"fmt"
	"math/bits"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/wal"
)

// A fit says which sizes fit a link. The zero fit knows nothing against those
// that are configured. All of it are pure functions of two numbers, so that what
// is planned can be foretold and told.
//
// What a failure costs is the body that it cut: half of one on average. Where a
// link carries eight bodies between two failures, that is a sixteenth. So sizes
// are an eighth of what the link carries, as a power of two. Parts are no smaller
// than what the destination takes; where fewer than five of those get through,
// objects are made so small that each goes out in one request.
type fit struct {
	carries int64 // bytes between two failures, both ways; 0: no limit is known
	rate    int64 // bytes a second, of all requests together; 0: not known
}

const (
	leastObject = 8 << 10 // bytes of an object that is made small for a link; below it heads and receipts outweigh it
	bodies      = 8       // between two failures
	fewBodies   = 3       // likewise, where they are small
	leastBodies = 5       // of the least part; with fewer, objects go out whole
	partTime    = 10 * time.Minute
	shareTime   = time.Minute // what a part takes may be shared among several
)

// share is the body that fits: between an eighth and a sixteenth of what the
// link carries; on the worst links more, since each request has a head of a
// kilobyte or two. Only with carries.
func (f fit) share() int64 {
	return max(powerOf2(f.carries/bodies), min(powerOf2(f.carries/fewBodies), 2*leastObject), leastObject)
}

// whole says that objects have to go out in one request each.
func (f fit) whole(l transport.Limits) bool {
	return f.carries > 0 && f.carries < leastBodies*l.MinPart
}

// part is the part size of objects that begin now, where want is configured.
func (f fit) part(l transport.Limits, want int64) int64 {
	size := want
	if f.carries > 0 {
		size = min(size, f.share())
	}
	if f.rate > 0 {
		size = min(size, powerOf2(f.rate*int64(partTime/time.Second)))
	}
	if size == want {
		return want
	}
	return max(size, min(l.MinPart, want))
}

// object bounds objects that begin now, where want is configured.
func (f fit) object(l transport.Limits, part, want int64) int64 {
	if f.whole(l) {
		return min(want, f.share())
	}
	if part < (want-1)/int64(max(l.MaxParts, 1))+1 {
		return part * int64(l.MaxParts)
	}
	return want
}

// workers is how many requests may be on their way at a time: where a failure is
// near each of them pays for it, and on a slow link all parts would be begun and
// none done. Of small objects there are two, so that the link does not stand idle
// while one waits for its answer.
func (f fit) workers(l transport.Limits, want int) int {
	if f.whole(l) {
		return min(want, 2)
	}
	if f.carries > 0 || f.rate > 0 && f.rate*int64(shareTime/time.Second) < max(l.PartSize, l.MinPart) {
		return 1
	}
	return want
}

// tooLarge says that a body of n bytes is better sent as several.
func (f fit) tooLarge(n int64, l transport.Limits) bool {
	return f.carries > 0 && n > 2*f.share() && (f.whole(l) || n > f.carries/2)
}

// hopeless says that a body of n bytes cannot get through.
func (f fit) hopeless(n int64, l transport.Limits) bool { return n > f.carries && f.tooLarge(n, l) }

// text explains the fit for status, empty if sizes are as configured.
func (f fit) text(l transport.Limits, workers int) string {
	many := f.workers(l, workers)
	one := "one request at a time"
	if many > 1 {
		one = fmt.Sprintf("%d requests at a time", many)
	}
	switch {
	case f.carries == 0 && many == workers:
		return ""
	case f.carries == 0:
		return fmt.Sprintf("the link carries %s a second: %s", sizeText(f.rate), one)
	case f.whole(l):
		return fmt.Sprintf("the link carries %s between failures, fewer than %d parts of %s: objects of at most %s, each in one request; %s; longer ones that wait are sliced",
			sizeText(f.carries), leastBodies, sizeText(l.MinPart), sizeText(f.share()), one)
	}
	return fmt.Sprintf("the link carries %s between failures: parts of at most %s; %s", sizeText(f.carries), sizeText(max(f.share(), l.MinPart)), one)
}

// refit lets the gauge see how a request went. It tells streams of sizes that fit
// now and did not before, and keeps what was learnt over a restart.
func (e *Engine) refit(dest *destination, r *result, at time.Time) {
	before, now := dest.measure(r, at)
	if now.carries == before.carries && powerOf2(now.rate) == powerOf2(before.rate) {
		return
	}
	if powerOf2(now.carries) != powerOf2(before.carries) {
		e.store.Note(wal.Fact{Kind: wal.Figure, Name: figureCarries + dest.cfg.Name, Size: dest.gauge.lesson()})
		e.log.Info("other sizes fit the link", "destination", dest.cfg.Name, "plan", cmp.Or(now.text(dest.limits, e.cfg.Workers), "as configured"))
	}
	for _, st := range e.streams {
		if st.cfg.Destination == dest.cfg.Name {
			st.poke()
		}
	}
}

// figureCarries, with the destination's name, names what its link carries.
const figureCarries = "link carries: "

// recall has each destination begin with what the last run had learnt of its link.
func (e *Engine) recall() {
	e.store.View(func(s *wal.State) {
		for name, d := range e.dests {
			if d.cfg.Link != nil {
				d.gauge.recall(s.Figure(figureCarries + name).Size)
				d.fit = d.gauge.fit()
			}
		}
	})
}

// powerOf2 is the largest power of two that is at most n; 0 if n is not positive.
func powerOf2(n int64) int64 {
	if n <= 0 {
		return 0
	}
	return 1 << (bits.Len64(uint64(n)) - 1)
}
