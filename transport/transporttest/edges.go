package transporttest

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/seed-7270d448/dray/transport"
)

func (s *suite) abort() {
	o, b := s.fresh(s.limits.MinPart + 1)
	u := s.begin(o)
	parts := s.send(u, b, 1)
	for range 2 {
		if err := s.d.Abort(s.ctx(), u); err != nil {
			s.Errorf("Abort: %v", err)
		}
	}
	never := u
	never.ID = "0123456789abcdef"
	if err := s.d.Abort(s.ctx(), never); err != nil {
		s.Errorf("Abort of an upload that never was: %v", err)
	}
	s.checkNoUploads(o.Key)
	s.checkAbsent(o.Key)
	for _, u := range []transport.Upload{u, never} {
		p, piece := Part(s.d, b, 2, u.PartSize)
		_, err := s.d.UploadPart(s.ctx(), u, p, NewBody(piece))
		s.checkError("UploadPart after Abort", err, "upload part", o.Key, transport.Gone)
		_, err = s.d.Parts(s.ctx(), u)
		s.checkError("Parts after Abort", err, "list parts", o.Key, transport.Gone)
		second := transport.PartReceipt{Number: 2, Size: p.Size, CRC32C: p.CRC32C, HasCRC: true, Sum: p.Sum, ETag: parts[0].ETag}
		_, err = s.d.Complete(s.ctx(), u, append(parts, second))
		s.checkError("Complete after Abort", err, "complete", o.Key, transport.Gone)
	}
	s.checkNoUploads(o.Key)
	s.checkAbsent(o.Key)
}

func (s *suite) findExact() {
	base := s.key()
	short := Object(base+"b", Bytes(1, 10))
	long := Object(base+"bc", Bytes(2, 10))
	deep := Object(base+"d/b", Bytes(3, 10))
	v := s.begin(long)
	w := s.begin(deep)
	s.checkNoUploads(short.Key)
	s.checkNoUploads(base + "d")
	u := s.begin(short)
	uploads, stored, err := s.d.Find(s.ctx(), short.Key)
	if err != nil || stored != nil || len(uploads) != 1 || uploads[0].ID != u.ID || uploads[0].Object.Key != short.Key {
		s.Errorf("Find %s: %+v, %v, %v, want upload %s alone", short.Key, uploads, stored, err, u.ID)
	}
	s.finish(v, Bytes(2, 10), s.send(v, Bytes(2, 10), 1))
	s.finish(w, Bytes(3, 10), s.send(w, Bytes(3, 10), 1))
	s.checkAbsent(short.Key)
	s.checkAbsent(base + "d")
	s.finish(u, Bytes(1, 10), s.send(u, Bytes(1, 10), 1))
}

func (s *suite) findUploads() {
	o, b := s.fresh(10)
	var want []string
	for range 3 {
		want = append(want, s.begin(o).ID)
	}
	uploads, _, err := s.d.Find(s.ctx(), o.Key)
	if err != nil {
		s.Fatalf("Find: %v", err)
	}
	var got []string
	for _, u := range uploads {
		got = append(got, u.ID)
		u.Object, u.PartSize = o, s.limits.MinPart
		s.checkParts(u, nil)
		if len(got) < len(want) {
			if err := s.d.Abort(s.ctx(), u); err != nil {
				s.Errorf("Abort: %v", err)
			}
			continue
		}
		// What Find gave is good to go on with.
		s.finish(u, b, s.send(u, b, 1))
	}
	slices.Sort(want)
	if slices.Sort(got); !slices.Equal(got, want) {
		s.Errorf("Find: uploads %q, want %q", got, want)
	}
}

func (s *suite) keys() {
	base := s.key()
	for _, name := range []string{
		"plain", "with blank", "a+b", "100%", "%41", "%2F", "ümläut", "日本語", "smile-😀", "a=b&c=d", "q?x#y",
		"semi;colon", "quote'\"", "(round)[square]{curly}", "back\\slash", "~tilde", "star*", "a,b:c@d$e!f", "...", ".hidden",
		"deep/er/and/deeper", strings.Repeat("long", 50),
	} {
		o := Object(base+"/"+name, []byte(name))
		u := s.begin(o)
		uploads, _, err := s.d.Find(s.ctx(), o.Key)
		if err != nil || len(uploads) != 1 || uploads[0].ID != u.ID {
			s.Errorf("Find %q: %+v, %v, want upload %s", o.Key, uploads, err, u.ID)
		}
		s.finish(u, []byte(name), s.send(u, []byte(name), 1))
		if !s.canPut(1) {
			continue
		}
		o = Object(base+"-put/"+name, []byte(name))
		if _, err := s.d.Put(s.ctx(), o, NewBody([]byte(name))); err != nil {
			s.Errorf("Put %q: %v", o.Key, err)
			continue
		}
		s.checkStored(o, []byte(name))
	}
}

func (s *suite) invalid() {
	b := []byte("x")
	good := Object(s.key(), b)
	bad := map[string]transport.Object{}
	for _, key := range []string{"", "/abs", "../up", "a/../b", "a//b", "a/", "./a", "nul\x00", "line\n", "\xff"} {
		bad["key "+key] = Object(key, b)
	}
	bad["long key"] = Object(strings.Repeat("k", transport.MaxKey+1), b)
	bad["metadata name"] = with(good, "Dray Device", "x")
	bad["metadata value"] = with(good, "dray-device", "ü")
	bad["much metadata"] = with(good, "x", strings.Repeat("x", transport.MaxMetadata+1))
	for name, o := range bad {
		if s.canPut(1) {
			_, err := s.d.Put(s.ctx(), o, NewBody(b))
			s.checkError("Put with bad "+name, err, "put", o.Key, transport.Invalid)
		}
		_, err := s.d.Create(s.ctx(), o)
		s.checkError("Create with bad "+name, err, "create", o.Key, transport.Invalid)
	}
	u := s.begin(good)
	for _, p := range []transport.Part{
		{Number: 0, Size: 1}, {Number: -1, Size: 1}, {Number: s.limits.MaxParts + 1, Offset: int64(s.limits.MaxParts) * u.PartSize, Size: 1},
		{Number: 1, Size: 2}, {Number: 1, Offset: 5, Size: 1}, {Number: 1, Offset: -1, Size: 1},
	} {
		_, err := s.d.UploadPart(s.ctx(), u, p, NewBody(b))
		s.checkError("bad part", err, "upload part", good.Key, transport.Invalid)
	}
	open := u
	open.Object.Size = -1
	_, err := s.d.Complete(s.ctx(), open, nil)
	s.checkError("Complete of an object that still grows", err, "complete", good.Key, transport.Invalid)
	s.finish(u, b, s.send(u, b, 1))
}

func (s *suite) cancelled() {
	o, b := s.fresh(1000)
	u := s.begin(o)
	parts := s.send(u, b, 1)
	ctx, cancel := context.WithCancel(s.ctx())
	cancel()
	p, _ := Part(s.d, b, 1, u.PartSize)
	other, _ := s.fresh(1000)
	calls := map[string]func() error{
		"create":      func() error { _, err := s.d.Create(ctx, other); return err },
		"upload part": func() error { _, err := s.d.UploadPart(ctx, u, p, NewBody(b)); return err },
		"list parts":  func() error { _, err := s.d.Parts(ctx, u); return err },
		"complete":    func() error { _, err := s.d.Complete(ctx, u, parts); return err },
		"abort":       func() error { return s.d.Abort(ctx, u) },
		"find":        func() error { _, _, err := s.d.Find(ctx, o.Key); return err },
	}
	if s.canPut(1000) {
		calls["put"] = func() error { _, err := s.d.Put(ctx, other, NewBody(b)); return err }
	}
	for op, call := range calls {
		err := call()
		var e *transport.Error
		if !errors.As(err, &e) || !errors.Is(err, context.Canceled) || e.Op != op {
			s.Errorf("%s: got %v, want an *Error with context.Canceled in its chain", op, err)
		}
	}
	s.checkAbsent(other.Key)
	s.checkNoUploads(other.Key)
	s.checkAbsent(o.Key)
	s.finish(u, b, parts)
}
