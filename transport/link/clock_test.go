package link

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestOnlyAServerThatHasProvedWhoItIsTellsTheTime(t *testing.T) {
	then := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
	age := ""
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", then.Format(http.TimeFormat))
		if age != "" {
			w.Header().Set("Age", age)
		}
	})
	plain, secure := httptest.NewServer(answer), httptest.NewTLSServer(answer)
	defer plain.Close()
	defer secure.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, url, age string
		want           time.Time
	}{
		{"http", plain.URL, "", time.Time{}},
		{"a cache", secure.URL, "3600", time.Time{}},
		{"https", secure.URL, "", then},
	} {
		age = tt.age
		link, err := New(Config{CAFile: ca})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: link}).Get(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		link.CloseIdle()
		server, heard := link.Clock()
		if !server.Equal(tt.want) || heard.IsZero() != tt.want.IsZero() || time.Since(heard) > time.Hour && !heard.IsZero() {
			t.Errorf("%s: it is %v, heard at %v; want %v", tt.name, server, heard, tt.want)
		}
	}
}

func TestCertificatesAreJudgedByTheTimeThatIsTold(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	cert := server.Certificate()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		now  time.Time
		good bool
	}{{cert.NotBefore.Add(-time.Hour), false}, {cert.NotBefore.Add(time.Hour), true}, {cert.NotAfter.Add(time.Hour), false}} {
		link, err := New(Config{CAFile: ca})
		if err != nil {
			t.Fatal(err)
		}
		link.TellTime(func() time.Time { return tt.now })
		resp, err := (&http.Client{Transport: link}).Get(server.URL)
		if (err == nil) != tt.good {
			t.Errorf("at %v: %v", tt.now, err)
		}
		if err == nil {
			resp.Body.Close()
		}
		link.CloseIdle()
	}
}
