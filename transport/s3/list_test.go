package s3

import (
	"errors"
	"sync"
	"testing"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

func TestAnObjectOfTenThousandPartsIsListedAndMade(t *testing.T) {
	g := transporttest.StartGateway(t, transporttest.GatewayOptions{SmallParts: true})
	b := &bench{T: t, d: open(t, g, ""), g: g}
	const n = maxParts // a page is 1000
	u, bytes := b.upload("many", n)
	u.PartSize = 1
	parts := make([]transport.PartReceipt, n)
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := n - worker; i > 0; i -= 8 { // from the last to the first
				r, err := b.part(u, bytes, i)
				if err != nil {
					t.Error(err)
					return
				}
				parts[i-1] = r
			}
		})
	}
	if all.Wait(); t.Failed() {
		return
	}
	held, err := b.d.Parts(t.Context(), u)
	if err != nil || len(held) != n {
		t.Fatalf("Parts: %d, %v, want %d", len(held), err, n)
	}
	for i, p := range held {
		if p.Number != i+1 || p.Size != 1 || !p.HasCRC {
			t.Errorf("part %d of the list: %+v", i+1, p)
		}
	}
	if _, err := b.d.Complete(t.Context(), u, parts); err != nil {
		t.Fatal(err)
	}
	b.stored(u.Object.Key, bytes)
}

func TestAListThatBreaksOffIsNoList(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("broken", MinPartSize+5)
	b.parts(u, bytes, 1, 2)
	for _, after := range []int64{1, 100, 400} {
		b.proxy.Script(transporttest.Fault{Method: "GET", CutReply: after})
		if parts, err := b.d.Parts(t.Context(), u); err == nil {
			t.Errorf("Parts, cut after %d bytes: %v, want an error", after, parts)
		}
		b.proxy.Script(transporttest.Fault{Method: "GET", CutReply: after})
		if uploads, _, err := b.d.Find(t.Context(), u.Object.Key); err == nil {
			t.Errorf("Find, cut after %d bytes: %v, want an error", after, uploads)
		}
	}
}

func TestAListThatDoesNotEndIsRefused(t *testing.T) {
	b := newBench(t)
	u, _ := b.upload("endless", 1)
	for query, body := range map[string]string{
		"uploadId": `<ListPartsResult><UploadId>` + u.ID + `</UploadId><NextPartNumberMarker>7</NextPartNumberMarker><IsTruncated>true</IsTruncated></ListPartsResult>`,
		"uploads":  `<ListMultipartUploadsResult><Bucket>dray</Bucket><NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>i</NextUploadIdMarker><IsTruncated>true</IsTruncated></ListMultipartUploadsResult>`,
	} {
		b.proxy.Script(transporttest.Fault{Method: "GET", Query: query, Times: 100, Instead: &transporttest.CannedReply{Status: 200, Body: body}})
		var err error
		if query == "uploads" {
			_, _, err = b.d.Find(t.Context(), u.Object.Key)
		} else {
			_, err = b.d.Parts(t.Context(), u)
		}
		if !errors.Is(err, errEndless) {
			t.Errorf("%s: %v, want errEndless", query, err)
		}
	}
}

func TestHalfOfFindIsGivenWhereTheOtherIsDenied(t *testing.T) {
	b := newBench(t)
	u, _ := b.upload("half", 1)
	denied := &transporttest.CannedReply{Status: 403}
	b.proxy.Script(transporttest.Fault{Method: "HEAD", Instead: denied})
	uploads, _, err := b.d.Find(t.Context(), u.Object.Key)
	b.want(err, transport.Denied, false)
	if len(uploads) != 1 {
		t.Errorf("uploads %v, want the one that is there", uploads)
	}
	o := transporttest.Object("half", []byte("x"))
	if _, err := b.d.Put(t.Context(), o, transporttest.NewBody([]byte("x"))); err != nil {
		t.Fatal(err)
	}
	b.proxy.Script(transporttest.Fault{Method: "GET", Instead: denied})
	_, stored, err := b.d.Find(t.Context(), "half")
	b.want(err, transport.Denied, false)
	if stored == nil || !stored.IsObject(o) {
		t.Errorf("object %+v, want the one that is there", stored)
	}
}

func TestAnUploadGoesOnAfterTheServerWasKilled(t *testing.T) {
	dir := t.TempDir()
	g := transporttest.StartGateway(t, transporttest.GatewayOptions{Dir: dir})
	b := &bench{T: t, d: open(t, g, ""), g: g}
	u, bytes := b.upload("killed", MinPartSize+5)
	first := b.parts(u, bytes, 1)
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	_, err := b.part(u, bytes, 2)
	var e *transport.Error
	if !errors.As(err, &e) || e.Kind != transport.Offline {
		t.Errorf("without a server: %v, want Offline", err)
	}
	transporttest.StartGateway(t, transporttest.GatewayOptions{Dir: dir, Listen: g.Addr})
	if _, err := b.d.Complete(t.Context(), u, append(first, b.parts(u, bytes, 2)...)); err != nil {
		t.Fatal(err)
	}
	b.stored(u.Object.Key, bytes)
}
