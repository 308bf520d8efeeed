package s3

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
)

// A server that works on a Complete sends its status, then white space, then
// what came of it; or nothing at all for longer than a link may stand still.
func TestACompleteIsGivenTimeAndWhiteSpaceIsNoAnswer(t *testing.T) {
	d := wired(t, &wire{}, nil)
	u, p := aPart(d, "some bytes")
	success := "<CompleteMultipartUploadResult><ETag>" + anETag + "</ETag><ChecksumCRC32C>" + transport.EncodeCRC32C(p.CRC32C) + "</ChecksumCRC32C></CompleteMultipartUploadResult>"
	parts := []transport.PartReceipt{{Number: 1, Size: p.Size, CRC32C: p.CRC32C, HasCRC: true, ETag: anETag}}
	stall := time.Second
	for name, tt := range map[string]struct {
		silent time.Duration
		spaces int
		answer string
		kind   transport.Kind
		ok     bool
	}{
		"white space, then success":    {0, 3000, success, 0, true},
		"a declaration, white space":   {0, 3000, "<?xml version=\"1.0\"?>\n" + success, 0, true},
		"white space, then an error":   {0, 3000, refused(0, "SlowDown").Body, transport.Throttled, false},
		"white space, then nothing":    {0, 3000, "", transport.Temporary, false},
		"silence, longer than a stall": {stall + stall/2, 0, success, 0, true},
		"white space, then a failure":  {0, 1, refused(0, "InternalError").Body, transport.Temporary, false},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodHead {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				_, _ = io.Copy(io.Discard, r.Body) // whatever comes of it
				<-time.After(tt.silent)
				w.WriteHeader(http.StatusOK)
				for range tt.spaces {
					_, _ = io.WriteString(w, " ")
					_ = http.NewResponseController(w).Flush() // the client is there
				}
				_, _ = io.WriteString(w, tt.answer)
			}))
			defer server.Close()
			wire, err := link.New(link.Config{Stall: stall})
			if err != nil {
				t.Fatal(err)
			}
			defer wire.CloseIdle()
			to, err := New(Config{Bucket: "b", Endpoint: server.URL, PathStyle: true, AccessKeyID: "i", SecretAccessKey: "s", HTTP: wire})
			if err != nil {
				t.Fatal(err)
			}
			r, err := to.Complete(t.Context(), u, parts)
			if tt.ok {
				if err != nil || r.ETag != anETag {
					t.Errorf("got %+v, %v, want success", r, err)
				}
				return
			}
			if got := transport.KindOf(err); err == nil || got != tt.kind {
				t.Errorf("got %v (%v), want %v", got, err, tt.kind)
			}
		})
	}
}
