package demo

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSentencesHaveTheRightChecksum(t *testing.T) {
	// The example of the NMEA 0183 literature.
	got := string(sentence("GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,"))
	want := "$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNoSentenceOccursTwice(t *testing.T) {
	form := regexp.MustCompile(`^\$GPRMC,\d{6}\.\d\d,A,5\d\d\d\.\d{5},N,00\d\d\d\.\d{5},E,[\d.]+,[\d.]+,\d{6},,,A\*[0-9A-F]{2}\r\n` +
		`\$GPGGA,\d{6}\.\d\d,5\d\d\d\.\d{5},N,00\d\d\d\.\d{5},E,1,09,0\.9,\d\.\d,M,45\.1,M,,\*[0-9A-F]{2}\r\n$`)
	b := boat{at: time.Date(2026, 1, 2, 23, 59, 0, 0, time.UTC), lat: 54.18, lon: 7.88}
	seen := map[string]bool{}
	for range 5000 {
		fix := b.fix()
		if !form.Match(fix) {
			t.Fatalf("not a fix: %q", fix)
		}
		for line := range bytes.Lines(fix) {
			if seen[string(line)] {
				t.Fatalf("twice: %q", line)
			}
			seen[string(line)] = true
		}
	}
}

func TestDegreesNeverShowSixtyMinutes(t *testing.T) {
	for angle, want := range map[float64]string{7.885: "00753.10000", 7.99999999999: "00800.00000", 54: "05400.00000"} {
		if got := degrees(angle, 3); got != want {
			t.Errorf("%v: got %s, want %s", angle, got, want)
		}
	}
}

func TestTheSensorsCountIsWhatAReaderGets(t *testing.T) {
	s, err := newSensor()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	got := make([]byte, 1000)
	if _, err := io.ReadFull(s.near, got); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if want := s.all()[:len(got)]; !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCompareFindsTheOneCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := rapid.SliceOfN(rapid.ByteRange('a', 'c'), 0, 40).Draw(t, "sent")
		from := rapid.IntRange(0, len(sent)).Draw(t, "from")
		to := rapid.IntRange(from, len(sent)).Draw(t, "to")
		archived := append(bytes.Clone(sent[:from]), sent[to:]...)
		c, err := compare(sent, archived)
		if err != nil {
			t.Fatal(err)
		}
		if c.To-c.From != to-from {
			t.Fatalf("cut [%d,%d): got %+v", from, to, c)
		}
		if to > from && (from > c.From || from < c.From-c.Slack) {
			t.Fatalf("cut [%d,%d): got %+v", from, to, c)
		}
	})
}

func TestCompareRefusesWhatNoKillCanDo(t *testing.T) {
	const sent = "one\ntwo\nthree\nfour\n"
	for name, archived := range map[string]string{
		"a line twice":  "one\ntwo\ntwo\nthree\nfour\n",
		"a byte flips":  "one\ntwo\nthrEe\nfour\n",
		"two losses":    "one\nthree\n",
		"another order": "two\none\nthree\nfour\n",
		"more at end":   sent + "five\n",
	} {
		if c, err := compare([]byte(sent), []byte(archived)); err == nil {
			t.Errorf("%s: got %+v, want an error", name, c)
		}
	}
}

func TestTornAndMissingSentencesAreCounted(t *testing.T) {
	all, missing, torn := sentences([]byte("one\ntwo\nthree\nfour\n"), []byte("one\nree\nfour\n"))
	if all != 4 || missing != 2 || torn != 1 {
		t.Errorf("got %d, %d, %d, want 4, 2, 1", all, missing, torn)
	}
}
