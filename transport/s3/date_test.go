package s3

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/transport"
)

// A dateServer answers by a script, and notes how far from now requests are signed.
type dateServer struct {
	replies []func(http.ResponseWriter)
	signed  []time.Duration
}

func (s *dateServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at, _ := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	s.signed = append(s.signed, time.Until(at).Round(time.Minute))
	s.replies[min(len(s.signed), len(s.replies))-1](w)
}

func TestRequestsAreSignedByTheServicesClockAndNoOthers(t *testing.T) {
	const year = 365 * 24 * time.Hour
	date := func(w http.ResponseWriter, off time.Duration) {
		w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
	}
	portal := func(off time.Duration) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			date(w, off)
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Write([]byte("<html>log in</html>"))
		}
	}
	skewed := func(off time.Duration) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			date(w, off)
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusForbidden)
			w.Write([]byte("<Error><Code>RequestTimeTooSkewed</Code></Error>"))
		}
	}
	fine := func(off time.Duration) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			date(w, off)
			w.Header().Set("X-Amz-Request-Id", "1")
			w.WriteHeader(http.StatusNoContent)
		}
	}
	none := func(w http.ResponseWriter) {
		w.Header()["Date"] = nil
		w.Header().Set("X-Amz-Request-Id", "1")
		w.WriteHeader(http.StatusNoContent)
	}
	for _, tt := range []struct {
		name    string
		replies []func(http.ResponseWriter)
		want    []time.Duration
	}{
		{"a clock that is right", []func(http.ResponseWriter){fine(0), fine(0)}, []time.Duration{0, 0}},
		{"a clock that is a year behind", []func(http.ResponseWriter){skewed(year), fine(year), fine(year)}, []time.Duration{0, year, year}},
		{"a clock that is put right meanwhile", []func(http.ResponseWriter){skewed(year), skewed(0), fine(0)}, []time.Duration{0, year, 0}},
		{"a portal that lives ten years ahead", []func(http.ResponseWriter){portal(10 * year), fine(0)}, []time.Duration{0, 0}},
		{"a portal before a service, on a device that is a year ahead", []func(http.ResponseWriter){skewed(-year), portal(0), fine(-year)}, []time.Duration{0, -year, -year}},
		{"a service that tells no time", []func(http.ResponseWriter){skewed(year), none, fine(year)}, []time.Duration{0, year, year}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &dateServer{replies: tt.replies}
			server := httptest.NewServer(s)
			defer server.Close()
			d, err := New(Config{Bucket: "b", Endpoint: server.URL, PathStyle: true, AccessKeyID: "id", SecretAccessKey: "secret"})
			if err != nil {
				t.Fatal(err)
			}
			defer d.CloseIdle()
			for i, want := range tt.want {
				_ = d.Abort(t.Context(), transport.Upload{Object: transport.Object{Key: "k"}, ID: "u"}) // how it ends is not the question
				if len(s.signed) <= i || s.signed[i] != want {
					t.Fatalf("requests were signed %v from now, want %v", s.signed, tt.want)
				}
			}
		})
	}
}

// Only a clock that stays wrong after the service has told the time is for an
// operator to put right.
func TestAClockThatTheReplyPutsRightIsNoReasonToWait(t *testing.T) {
	const year = 365 * 24 * time.Hour
	skewed := func(w http.ResponseWriter) {
		w.Header().Set("Date", time.Now().Add(year).UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		w.Write([]byte("<Error><Code>RequestTimeTooSkewed</Code></Error>"))
	}
	s := &dateServer{replies: []func(http.ResponseWriter){skewed}}
	server := httptest.NewServer(s)
	defer server.Close()
	d, err := New(Config{Bucket: "b", Endpoint: server.URL, PathStyle: true, AccessKeyID: "id", SecretAccessKey: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.CloseIdle()
	for i, want := range []transport.Kind{transport.Temporary, transport.Denied} {
		err := d.Abort(t.Context(), transport.Upload{Object: transport.Object{Key: "k"}, ID: "u"})
		if got := transport.KindOf(err); got != want {
			t.Errorf("request %d: got %v, want %v (%v)", i, got, want, err)
		}
		if err == nil || !strings.Contains(err.Error(), "check this device's clock: the server's says ") {
			t.Errorf("request %d: %v, want it to tell both clocks apart", i, err)
		}
	}
}
