package transporttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/transport"
)

// A Reader is a Destination of which the suite can also ask what an object
// holds. Destinations have no such call; a test may add it.
type Reader interface {
	ReadObject(key string) ([]byte, error)
}

// A Closer is a Destination that keeps connections which a test wants closed
// before it counts goroutines.
type Closer interface {
	CloseIdle()
}

// Run checks that what open returns keeps the contract of
// transport.Destination. open is called once for each check, and what it
// returns must start empty or be shared by all checks: keys do not repeat. If
// the destination is a Reader the suite compares bytes, else only what Find
// says.
func Run(t *testing.T, open func(t *testing.T) transport.Destination) {
	for _, c := range []struct {
		name  string
		check func(*suite)
	}{
		{"PutStoresTheObject", (*suite).put},
		{"PutNeverReplaces", (*suite).putTaken},
		{"PutCanBeRepeated", (*suite).putTwice},
		{"PutOfOtherBytesStoresNothing", (*suite).putCorrupt},
		{"PutTakesEverySize", (*suite).putSizes},
		{"CompleteMakesTheObject", (*suite).complete},
		{"CompleteCanBeRepeated", (*suite).completeTwice},
		{"CompleteNeverReplaces", (*suite).completeTaken},
		{"CompleteNamesMissingParts", (*suite).completeMissing},
		{"CompleteNamesWrongParts", (*suite).completeWrong},
		{"CompleteOfOtherBytesStoresNothing", (*suite).completeCorrupt},
		{"PartsInAnyOrderAtTheSameTime", (*suite).parallel},
		{"PartSentAgainReplaces", (*suite).replace},
		{"PartOfOtherBytesStoresNothing", (*suite).partCorrupt},
		{"LastPartOfEverySize", (*suite).lastSizes},
		{"AbortCanBeRepeated", (*suite).abort},
		{"FindSeesExactlyOneKey", (*suite).findExact},
		{"FindSeesEveryUpload", (*suite).findUploads},
		{"KeysComeBackAsTheyAre", (*suite).keys},
		{"BadInputIsInvalid", (*suite).invalid},
		{"CancelledCallsDoNothing", (*suite).cancelled},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := open(t)
			c.check(&suite{T: t, d: d, limits: d.Limits()})
			noGoroutines(t, d)
		})
	}
}

// suite is one check.
type suite struct {
	*testing.T
	d      transport.Destination
	limits transport.Limits
	made   int
}

// key returns a key that no other check uses.
func (s *suite) key() string {
	s.made++
	return fmt.Sprintf("%s-%016x/%d", s.Name(), rand.Uint64(), s.made)
}

func (s *suite) ctx() context.Context { return s.Context() }

// fresh returns an object of n bytes and the bytes.
func (s *suite) fresh(n int64) (transport.Object, []byte) {
	b := Bytes(rand.Uint64(), n)
	return Object(s.key(), b), b
}

// canPut reports whether the destination takes an object of n bytes whole.
func (s *suite) canPut(n int64) bool { return s.limits.MaxPut >= n }

// begin makes an upload of b, no part sent yet.
func (s *suite) begin(o transport.Object) transport.Upload {
	s.Helper()
	growing := o
	growing.Size, growing.CRC32C, growing.PartSize = -1, 0, s.limits.MinPart
	id, err := s.d.Create(s.ctx(), growing)
	if err != nil {
		s.Fatalf("Create: %v", err)
	}
	if id == "" {
		s.Fatal("Create: empty upload ID")
	}
	return transport.Upload{ID: id, Object: o, PartSize: s.limits.MinPart}
}

// send uploads parts of b.
func (s *suite) send(u transport.Upload, b []byte, numbers ...int) []transport.PartReceipt {
	s.Helper()
	var receipts []transport.PartReceipt
	for _, n := range numbers {
		p, piece := Part(s.d, b, n, u.PartSize)
		r, err := s.d.UploadPart(s.ctx(), u, p, NewBody(piece))
		if err != nil {
			s.Fatalf("UploadPart %d: %v", n, err)
		}
		if r.Number != n || r.Size != p.Size || !r.HasCRC || r.CRC32C != p.CRC32C {
			s.Errorf("UploadPart %d: receipt %+v, want number, size %d and CRC %08x as sent", n, r, p.Size, p.CRC32C)
		}
		receipts = append(receipts, r)
	}
	return receipts
}

// finish completes u and checks the object.
func (s *suite) finish(u transport.Upload, b []byte, parts []transport.PartReceipt) transport.Receipt {
	s.Helper()
	r, err := s.d.Complete(s.ctx(), u, parts)
	if err != nil {
		s.Fatalf("Complete: %v", err)
	}
	s.checkReceipt(u.Object, r)
	s.checkStored(u.Object, b)
	s.checkNoUploads(u.Object.Key)
	return r
}

func (s *suite) checkReceipt(o transport.Object, r transport.Receipt) {
	s.Helper()
	if r.Size != o.Size {
		s.Errorf("receipt of %s: size %d, want %d", o.Key, r.Size, o.Size)
	}
	if sum, ok := strings.CutPrefix(r.Checksum, transport.ChecksumPrefix); ok && sum != transport.EncodeCRC32C(o.CRC32C) {
		s.Errorf("receipt of %s: checksum %s, want %s", o.Key, sum, transport.EncodeCRC32C(o.CRC32C))
	}
	if r.InDoubt != "" {
		s.Errorf("receipt of %s: in doubt: %s", o.Key, r.InDoubt)
	}
}

// checkStored checks that o is under its key and holds b.
func (s *suite) checkStored(o transport.Object, b []byte) {
	s.Helper()
	_, stored, err := s.d.Find(s.ctx(), o.Key)
	if err != nil {
		s.Fatalf("Find %s: %v", o.Key, err)
	}
	if stored == nil {
		s.Fatalf("Find %s: no object, want one of %d bytes", o.Key, o.Size)
	}
	if !stored.IsObject(o) {
		s.Errorf("Find %s: %+v, want %+v", o.Key, *stored, o)
	}
	for name, want := range o.Metadata {
		if got := stored.Metadata[name]; got != want {
			s.Errorf("Find %s: metadata %s is %q, want %q", o.Key, name, got, want)
		}
	}
	if r, ok := s.d.(Reader); ok {
		got, err := r.ReadObject(o.Key)
		if err != nil {
			s.Fatalf("read %s: %v", o.Key, err)
		}
		if string(got) != string(b) {
			s.Errorf("object %s holds other bytes: %d of them, want %d", o.Key, len(got), len(b))
		}
	}
}

// checkAbsent checks that no object is under key, not even half of one.
func (s *suite) checkAbsent(key string) {
	s.Helper()
	_, stored, err := s.d.Find(s.ctx(), key)
	if err != nil {
		s.Fatalf("Find %s: %v", key, err)
	}
	if stored != nil {
		s.Errorf("Find %s: %+v, want no object", key, *stored)
	}
}

func (s *suite) checkNoUploads(key string) {
	s.Helper()
	uploads, _, err := s.d.Find(s.ctx(), key)
	if err != nil {
		s.Fatalf("Find %s: %v", key, err)
	}
	if len(uploads) > 0 {
		s.Errorf("Find %s: %d uploads left, want none", key, len(uploads))
	}
}

// checkParts checks that the destination holds exactly these parts.
func (s *suite) checkParts(u transport.Upload, want []transport.PartReceipt) {
	s.Helper()
	got, err := s.d.Parts(s.ctx(), u)
	if err != nil {
		s.Fatalf("Parts: %v", err)
	}
	same := func(g, w transport.PartReceipt) bool {
		return g.Number == w.Number && g.Size == w.Size && (!g.HasCRC || g.CRC32C == w.CRC32C)
	}
	if !slices.EqualFunc(got, want, same) {
		s.Errorf("Parts: got %+v, want %+v", got, want)
	}
}

// checkError checks that err is an *Error of that kind and says what failed.
func (s *suite) checkError(what string, err error, op, key string, want transport.Kind) *transport.Error {
	s.Helper()
	var e *transport.Error
	if !errors.As(err, &e) {
		s.Fatalf("%s: got %v, want a *transport.Error of kind %v", what, err, want)
	}
	if e.Kind != want {
		s.Errorf("%s: kind %v (%v), want %v", what, e.Kind, err, want)
	}
	if e.Op != op || e.Key != key {
		s.Errorf("%s: error names %q %q, want %q %q", what, e.Op, e.Key, op, key)
	}
	return e
}

// noGoroutines checks that nothing of the destination still runs. A goroutine
// that is about to end gets the time for it.
func noGoroutines(t *testing.T, d transport.Destination) {
	t.Helper()
	if c, ok := d.(Closer); ok {
		c.CloseIdle()
	}
	const module = "github.com/seed-7270d448/dray/transport/"
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	buf := make([]byte, 1<<20)
	for {
		var left []string
		for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")[1:] {
			ours := strings.Contains(stack, module) && !strings.Contains(stack, module+"transporttest.")
			if ours && !strings.Contains(stack, "testing.(*T).Run") {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d goroutines left behind:\n%s", len(left), strings.Join(left, "\n\n"))
		}
	}
}

// inParallel runs f(0) to f(n-1) at the same time.
func inParallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// with returns a copy of o with one pair of metadata changed.
func with(o transport.Object, name, value string) transport.Object {
	o.Metadata = maps.Clone(o.Metadata)
	o.Metadata[name] = value
	return o
}

var errFlash = errors.New("frame 7: checksum does not match")

// liars are bodies that do not deliver b, each in another way.
func liars(b []byte) map[string]func() transport.Body {
	return map[string]func() transport.Body{
		"a wrong byte":   func() transport.Body { x := NewBody(b); x.Bad, x.BadAt = true, int64(len(b))/2; return x },
		"a failing read": func() transport.Body { x := NewBody(b); x.Err, x.FailAt = errFlash, int64(len(b))/2; return x },
		"an early end":   func() transport.Body { x := NewBody(b); x.Err, x.FailAt = io.EOF, int64(len(b))/2; return x },
	}
}
