package transporttest

import (
	"errors"
	"slices"

	"github.com/seed-7270d448/dray/transport"
)

func (s *suite) put() {
	if !s.canPut(1000) {
		return
	}
	o, b := s.fresh(1000)
	s.checkAbsent(o.Key)
	r, err := s.d.Put(s.ctx(), o, NewBody(b))
	if err != nil {
		s.Fatalf("Put: %v", err)
	}
	s.checkReceipt(o, r)
	s.checkStored(o, b)
	s.checkNoUploads(o.Key)
}

func (s *suite) putTaken() {
	if !s.canPut(1000) {
		return
	}
	first, b := s.fresh(1000)
	if _, err := s.d.Put(s.ctx(), first, NewBody(b)); err != nil {
		s.Fatalf("Put: %v", err)
	}
	c := Bytes(7, 1000)
	other := with(Object(first.Key, c), "dray-start", "43")
	_, err := s.d.Put(s.ctx(), other, NewBody(c))
	s.checkError("Put on a taken key", err, "put", other.Key, transport.Conflict)
	s.checkStored(first, b)
}

func (s *suite) putTwice() {
	if !s.canPut(1000) {
		return
	}
	o, b := s.fresh(1000)
	for range 2 {
		r, err := s.d.Put(s.ctx(), o, NewBody(b))
		if err != nil {
			s.Fatalf("Put: %v", err)
		}
		s.checkReceipt(o, r)
	}
	s.checkStored(o, b)
	s.checkNoUploads(o.Key)
}

func (s *suite) putCorrupt() {
	if !s.canPut(100_000) {
		return
	}
	for name, liar := range liars(Bytes(1, 100_000)) {
		o := Object(s.key(), Bytes(1, 100_000))
		_, err := s.d.Put(s.ctx(), o, liar())
		e := s.checkError("Put of "+name, err, "put", o.Key, transport.Corrupt)
		if name == "a failing read" && !errors.Is(e, errFlash) {
			s.Errorf("Put of %s: %v, want the read's error in the chain", name, e)
		}
		s.checkAbsent(o.Key)
		s.checkNoUploads(o.Key)
	}
}

func (s *suite) putSizes() {
	for _, n := range []int64{0, 1, 1 << 15, 1<<16 - 1, 1 << 16, s.limits.MinPart - 1, s.limits.MinPart, s.limits.MinPart + 1} {
		if !s.canPut(max(n, 1)) {
			continue
		}
		o, b := s.fresh(n)
		r, err := s.d.Put(s.ctx(), o, NewBody(b))
		if err != nil {
			s.Errorf("Put of %d bytes: %v", n, err)
			continue
		}
		s.checkReceipt(o, r)
		s.checkStored(o, b)
	}
}

func (s *suite) complete() {
	o, b := s.fresh(2*s.limits.MinPart + 1)
	s.checkNoUploads(o.Key)
	u := s.begin(o)
	s.checkParts(u, nil)
	var parts []transport.PartReceipt
	for n := 1; n <= 3; n++ {
		s.checkAbsent(o.Key)
		parts = append(parts, s.send(u, b, n)...)
		s.checkParts(u, parts)
	}
	s.checkAbsent(o.Key)
	s.finish(u, b, parts)
	if _, err := s.d.Parts(s.ctx(), u); err == nil {
		s.Error("Parts of a finished upload: no error, want Gone")
	} else {
		s.checkError("Parts of a finished upload", err, "list parts", o.Key, transport.Gone)
	}
}

func (s *suite) completeTwice() {
	o, b := s.fresh(s.limits.MinPart + 1000)
	u := s.begin(o)
	parts := s.send(u, b, 1, 2)
	first := s.finish(u, b, parts)
	for range 2 {
		again := s.finish(u, b, parts)
		if again.Size != first.Size || again.ETag != first.ETag || again.Checksum != first.Checksum {
			s.Errorf("Complete again: %+v, the first time %+v", again, first)
		}
	}
}

func (s *suite) completeTaken() {
	if s.limits.Once {
		return
	}
	first, b := s.fresh(1000)
	u := s.begin(first)
	c := Bytes(7, 1000)
	v := s.begin(with(Object(first.Key, c), "dray-start", "43"))
	s.finishOther(u, b)
	parts := s.send(v, c, 1)
	_, err := s.d.Complete(s.ctx(), v, parts)
	s.checkError("Complete on a taken key", err, "complete", first.Key, transport.Conflict)
	s.checkStored(first, b)
	if err := s.d.Abort(s.ctx(), v); err != nil {
		s.Errorf("Abort: %v", err)
	}
	s.checkNoUploads(first.Key)
}

// finishOther completes an upload while another of the same key is open.
func (s *suite) finishOther(u transport.Upload, b []byte) {
	s.Helper()
	if _, err := s.d.Complete(s.ctx(), u, s.send(u, b, 1)); err != nil {
		s.Fatalf("Complete: %v", err)
	}
}

func (s *suite) completeMissing() {
	o, b := s.fresh(2*s.limits.MinPart + 1)
	u := s.begin(o)
	first := s.send(u, b, 1)[0]
	last := s.send(u, b, 3)[0]
	check := func(what string, parts []transport.PartReceipt, want ...int) {
		s.Helper()
		_, err := s.d.Complete(s.ctx(), u, parts)
		e := s.checkError(what, err, "complete", o.Key, transport.Missing)
		if !slices.Equal(e.Parts, want) {
			s.Errorf("%s: parts %v, want %v", what, e.Parts, want)
		}
		s.checkAbsent(o.Key)
	}
	check("Complete without part 2", []transport.PartReceipt{first, last}, 2)
	check("Complete without parts 2 and 3", []transport.PartReceipt{first}, 2, 3)
	// The caller believes to have sent it, the destination knows better.
	p, _ := Part(s.d, b, 2, u.PartSize)
	never := transport.PartReceipt{Number: 2, Size: p.Size, CRC32C: p.CRC32C, HasCRC: true, Sum: p.Sum, ETag: first.ETag}
	check("Complete with a part never sent", []transport.PartReceipt{first, never, last}, 2)
	second := s.send(u, b, 2)[0]
	s.finish(u, b, []transport.PartReceipt{first, second, last})
}

func (s *suite) completeWrong() {
	o, b := s.fresh(2*s.limits.MinPart + 1)
	u := s.begin(o)
	parts := s.send(u, b, 1, 2, 3)
	// Other bytes take the place of part 2 behind the caller's back.
	s.send(u, append(b[:s.limits.MinPart:s.limits.MinPart], Bytes(9, s.limits.MinPart)...), 2)
	_, err := s.d.Complete(s.ctx(), u, parts)
	e := s.checkError("Complete with a replaced part", err, "complete", o.Key, transport.Missing)
	if want := []int{2}; !slices.Equal(e.Parts, want) {
		s.Errorf("Complete with a replaced part: parts %v, want %v", e.Parts, want)
	}
	s.checkAbsent(o.Key)
	parts[1] = s.send(u, b, 2)[0]
	s.finish(u, b, parts)
}

func (s *suite) completeCorrupt() {
	o, b := s.fresh(s.limits.MinPart + 1)
	o.CRC32C++
	u := s.begin(o)
	_, err := s.d.Complete(s.ctx(), u, s.send(u, b, 1, 2))
	s.checkError("Complete with another checksum", err, "complete", o.Key, transport.Corrupt)
	s.checkAbsent(o.Key)
}

func (s *suite) parallel() {
	const n = 6
	o, b := s.fresh((n-1)*s.limits.MinPart + 5)
	u := s.begin(o)
	parts := make([]transport.PartReceipt, n)
	errs := make([]error, n)
	inParallel(n, func(i int) {
		p, piece := Part(s.d, b, n-i, u.PartSize)
		parts[n-i-1], errs[i] = s.d.UploadPart(s.ctx(), u, p, NewBody(piece))
	})
	if err := errors.Join(errs...); err != nil {
		s.Fatalf("UploadPart: %v", err)
	}
	s.checkParts(u, parts)
	s.finish(u, b, parts)
}

func (s *suite) replace() {
	o, b := s.fresh(s.limits.MinPart + 5)
	u := s.begin(o)
	longer := append(Bytes(9, s.limits.MinPart), Bytes(10, 500)...)
	first := s.send(u, longer, 2, 1) // both with other bytes, the last one longer
	s.checkParts(u, []transport.PartReceipt{first[1], first[0]})
	parts := s.send(u, b, 1, 2)
	s.checkParts(u, parts)
	s.finish(u, b, parts)
}

func (s *suite) partCorrupt() {
	n := s.limits.MinPart
	o, b := s.fresh(n + 5)
	u := s.begin(o)
	last := s.send(u, b, 2)
	for name, liar := range liars(b[:n]) {
		p, _ := Part(s.d, b, 1, u.PartSize)
		_, err := s.d.UploadPart(s.ctx(), u, p, liar())
		e := s.checkError("part of "+name, err, "upload part", o.Key, transport.Corrupt)
		if !slices.Equal(e.Parts, []int{1}) {
			s.Errorf("part of %s: parts %v, want 1", name, e.Parts)
		}
		s.checkParts(u, last)
	}
	s.finish(u, b, append(s.send(u, b, 1), last...))
}

func (s *suite) lastSizes() {
	for _, n := range []int64{1, s.limits.MinPart - 1, s.limits.MinPart} {
		for _, before := range []int64{0, s.limits.MinPart} {
			o, b := s.fresh(before + n)
			u := s.begin(o)
			numbers := []int{1, 2}[:1+before/s.limits.MinPart]
			s.finish(u, b, s.send(u, b, numbers...))
		}
	}
}
