package s3

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// pages answers ListParts as S3 does: at most 1000 parts of 1 byte a page, those
// in lost left out, each with the checksum of crc.
func pages(n int, crc uint32, lost ...int) func(asking) *transporttest.CannedReply {
	return func(a asking) *transporttest.CannedReply {
		if a.op != "list parts" {
			return nil
		}
		marker, _ := strconv.Atoi(a.query["part-number-marker"]) // none is 0
		var b strings.Builder
		last := min(marker+1000, n)
		for i := marker + 1; i <= last; i++ {
			if !slices.Contains(lost, i) {
				fmt.Fprintf(&b, "<Part><PartNumber>%d</PartNumber><ETag>%q</ETag><Size>1</Size><ChecksumCRC32C>%s</ChecksumCRC32C></Part>", i, "e", transport.EncodeCRC32C(crc))
			}
		}
		return &transporttest.CannedReply{Status: 200, Body: fmt.Sprintf("<ListPartsResult><UploadId>id</UploadId><IsTruncated>%t</IsTruncated><NextPartNumberMarker>%d</NextPartNumberMarker>%s</ListPartsResult>", last < n, last, b.String())}
	}
}

func TestOfTenThousandPartsOnlyTheLostGoAgain(t *testing.T) {
	const n = maxParts
	lost := []int{1, 999, 1000, 1001, 5555, n}
	one, _ := aPart(wired(t, &wire{}, nil), "x")
	o := one.Object
	crc := o.CRC32C
	for range n - 1 {
		o.CRC32C = transport.CombineCRC32C(o.CRC32C, crc, 1)
	}
	o.Size = n
	u := transport.Upload{ID: "id", Object: o, PartSize: 1}
	var parts []transport.PartReceipt
	for i := range n {
		parts = append(parts, transport.PartReceipt{Number: i + 1, Size: 1, CRC32C: crc, HasCRC: true, ETag: "e"})
	}
	w := &wire{say: once("complete", refused(400, "InvalidPart"), pages(n, crc, lost...))}
	d := wired(t, w, nil)
	_, err := d.Complete(t.Context(), u, parts)
	e := (&bench{T: t}).want(err, transport.Missing, false)
	if !slices.Equal(e.Parts, lost) {
		t.Errorf("parts %v, want %v", e.Parts, lost)
	}
	if got := len(w.of("list parts")); got != n/1000 {
		t.Errorf("%d pages, want %d", got, n/1000)
	}
	// The body names every part, in order, from 1.
	body, next := w.of("complete")[0].body, 1
	for rest := body; ; next++ {
		_, after, found := strings.Cut(rest, fmt.Sprintf("<PartNumber>%d</PartNumber>", next))
		if !found {
			break
		}
		rest = after
	}
	if next != n+1 {
		t.Errorf("part %d is not where it should be", next)
	}
	held, err := d.Parts(t.Context(), u)
	if err != nil || len(held) != n-len(lost) {
		t.Errorf("%d parts, %v, want %d", len(held), err, n-len(lost))
	}
	// A list that goes on past what S3 takes is refused.
	w.say = pages(n+1000, crc)
	if held, err := d.Parts(t.Context(), u); err == nil {
		t.Errorf("%d parts, want an error", len(held))
	}
}

func TestPartsAreConsecutiveFromOne(t *testing.T) {
	w := &wire{}
	d := wired(t, w, nil)
	u, p := aPart(d, "some bytes")
	r := transport.PartReceipt{Number: 2, Size: p.Size, CRC32C: p.CRC32C, HasCRC: true, ETag: "e"}
	_, err := d.Complete(t.Context(), u, []transport.PartReceipt{r})
	if e := (&bench{T: t}).want(err, transport.Missing, false); !slices.Equal(e.Parts, []int{1}) {
		t.Errorf("parts %v, want 1", e.Parts)
	}
	again := r
	again.Number = 1
	_, err = d.Complete(t.Context(), u, []transport.PartReceipt{r, again})
	if transport.KindOf(err) != transport.Invalid && transport.KindOf(err) != transport.Missing {
		t.Errorf("parts that do not ascend: %v", err)
	}
	for _, n := range []int{0, -1, maxParts + 1} {
		p := transport.Part{Number: n, Size: p.Size, CRC32C: p.CRC32C}
		_, err := d.UploadPart(t.Context(), u, p, transporttest.NewBody([]byte("some bytes")))
		(&bench{T: t}).want(err, transport.Invalid, false)
	}
	if len(w.asked) > 0 {
		t.Errorf("%d requests, want none", len(w.asked))
	}
}
