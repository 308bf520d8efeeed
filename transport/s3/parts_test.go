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

// pages answers ListParts with at most size parts of 1 byte a page (S3: 1000),
// those in lost left out, each with the checksum of crc.
func pages(n, size int, crc uint32, lost ...int) func(asking) *transporttest.CannedReply {
	return func(a asking) *transporttest.CannedReply {
		if a.op != "list parts" {
			return nil
		}
		marker, _ := strconv.Atoi(a.query["part-number-marker"]) // none is 0
		var b strings.Builder
		last := min(marker+size, n)
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
	w := &wire{}
	d := wired(t, w, nil)
	for _, page := range []int{999, 1000, n} { // some servers put all on one
		w.asked, w.say = nil, once("complete", refused(400, "InvalidPart"), pages(n, page, crc, lost...))
		_, err := d.Complete(t.Context(), u, parts)
		e := (&bench{T: t}).want(err, transport.Missing, false)
		if !slices.Equal(e.Parts, lost) {
			t.Errorf("pages of %d: parts %v, want %v", page, e.Parts, lost)
		}
		if got, want := len(w.of("list parts")), (n+page-1)/page; got != want {
			t.Errorf("%d pages of %d, want %d", got, page, want)
		}
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
	w.say = pages(n+1000, 1000, crc)
	if held, err := d.Parts(t.Context(), u); err == nil {
		t.Errorf("%d parts, want an error", len(held))
	}
}

// Whatever the server calls it, a part that it holds otherwise than it was sent is
// what goes again.
func TestARefusalThatAPartExplainsNamesThePart(t *testing.T) {
	for _, code := range []string{"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "InvalidRequest", "InvalidArgument", "BadDigest"} {
		for what, part := range map[string]string{
			"is not there":      "",
			"is smaller":        "<Part><PartNumber>1</PartNumber><ETag>" + anETag + "</ETag><Size>9</Size></Part>",
			"has another ETag":  "<Part><PartNumber>1</PartNumber><ETag>other</ETag><Size>10</Size></Part>",
			"holds other bytes": "<Part><PartNumber>1</PartNumber><ETag>" + anETag + "</ETag><Size>10</Size><ChecksumCRC32C>AAAAAA==</ChecksumCRC32C></Part>",
		} {
			list := &transporttest.CannedReply{Status: 200, Body: "<ListPartsResult><UploadId>id</UploadId>" + part + "</ListPartsResult>"}
			w := &wire{say: once("complete", refused(400, code), once("list parts", list, nil))}
			_, err := sendAll(t, wired(t, w, nil))
			if e := (&bench{T: t}).want(err, transport.Missing, false); !slices.Equal(e.Parts, []int{1}) || !strings.Contains(e.Error(), code) {
				t.Errorf("%s, part 1 %s: %v, want it named, and why", code, what, e)
			}
		}
	}
}

// All parts are there, and yet the server wants greater ones than S3 does.
func TestPartsThatAreTooSmallPointToTheConfig(t *testing.T) {
	list := &transporttest.CannedReply{Status: 200, Body: "<ListPartsResult><UploadId>id</UploadId><Part><PartNumber>1</PartNumber><ETag>" + anETag + "</ETag><Size>10</Size></Part></ListPartsResult>"}
	w := &wire{say: once("complete", refused(400, "EntityTooSmall"), once("list parts", list, nil))}
	_, err := sendAll(t, wired(t, w, nil))
	if e := (&bench{T: t}).want(err, transport.Invalid, false); !strings.Contains(e.Error(), "check part_size") {
		t.Errorf("%v, want the key of the config that helps", e)
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
	one, two := r, r
	one.Number = 1
	for _, parts := range [][]transport.PartReceipt{{two, one}, {one, one}, {one, two, two}, {{Number: -1}, one}} {
		_, err = d.Complete(t.Context(), u, parts)
		(&bench{T: t}).want(err, transport.Invalid, false) // they do not ascend
	}
	for _, n := range []int{0, -1, maxParts + 1} {
		p := transport.Part{Number: n, Offset: max(int64(n-1)*u.PartSize, 0), Size: p.Size, CRC32C: p.CRC32C}
		_, err := d.UploadPart(t.Context(), u, p, transporttest.NewBody([]byte("some bytes")))
		(&bench{T: t}).want(err, transport.Invalid, false)
	}
	if len(w.asked) > 0 {
		t.Errorf("%d requests, want none", len(w.asked))
	}
}
