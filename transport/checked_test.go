package transport_test

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

func TestACheckedBodyNeverEndsWell(t *testing.T) {
	b := transporttest.Bytes(1, 100_000)
	crc := crc32.Checksum(b, transport.Castagnoli)
	for name, body := range map[string]*transporttest.Body{
		"wrong first byte": {Reader: bytes.NewReader(b), Bad: true},
		"wrong last byte":  {Reader: bytes.NewReader(b), Bad: true, BadAt: int64(len(b)) - 1},
		"early end":        {Reader: bytes.NewReader(b), Err: io.EOF, FailAt: int64(len(b)) - 1},
		"read error":       {Reader: bytes.NewReader(b), Err: io.ErrClosedPipe, FailAt: 5},
	} {
		c, err := transport.NewChecked(body, int64(len(b)), crc)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if err == nil || len(got) == len(b) || c.Sent() {
			t.Errorf("%s: %d of %d bytes went out, %v", name, len(got), len(b), err)
		}
		if _, again := c.Read(make([]byte, 1)); again == nil || !errors.Is(again, c.Err()) {
			t.Errorf("%s: reading on gives %v, want the first error", name, again)
		}
	}
	if _, err := transport.NewChecked(transporttest.NewBody(b), 5, crc); err == nil {
		t.Error("body of another size: no error")
	}
}

func TestACheckedBodyCanBeMeasuredAndRewound(t *testing.T) {
	b := transporttest.Bytes(1, 1000)
	c, err := transport.NewChecked(transporttest.NewBody(b), 1000, crc32.Checksum(b, transport.Castagnoli))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, s := range []struct {
			offset int64
			whence int
			want   int64
		}{{0, io.SeekCurrent, -1}, {0, io.SeekEnd, 1000}, {0, io.SeekStart, 0}} {
			if got, err := c.Seek(s.offset, s.whence); err != nil || s.want >= 0 && got != s.want {
				t.Errorf("Seek(%d, %d) = %d, %v, want %d", s.offset, s.whence, got, err, s.want)
			}
		}
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, b) || !c.Sent() {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
	}
	if _, err := c.Seek(5, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "order") {
		t.Errorf("read from the middle: %v, want it refused", err)
	}
}
