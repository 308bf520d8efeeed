package hal

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// feeder is what a caller of Framer does: it keeps what was not consumed.
type feeder struct {
	t       interface{ Fatalf(string, ...any) }
	f       *Framer
	limit   int
	held    []byte
	records []string
	bad     string // malformed bytes, in order
	all     string // what came back, in order
}

func newFeeder(t interface{ Fatalf(string, ...any) }, f Framing) *feeder {
	return &feeder{t: t, f: NewFramer(f), limit: f.Limit()}
}

func (d *feeder) feed(chunk string) { d.held = append(d.held, chunk...); d.drain(false) }
func (d *feeder) end()              { d.drain(true) }
func (d *feeder) lost()             { d.f.Lost(); d.drain(false) }

func (d *feeder) drain(atEOF bool) {
	for len(d.held) > 0 {
		n, record := d.f.Next(d.held, atEOF)
		if n == 0 {
			if atEOF || len(d.held) >= d.limit {
				d.t.Fatalf("Next wants more than %d bytes, atEOF %v; limit is %d", len(d.held), atEOF, d.limit)
			}
			return
		}
		if n < 0 || n > len(d.held) || record != nil && len(record) != n {
			d.t.Fatalf("Next = %d with a record of %d, given %d bytes", n, len(record), len(d.held))
		}
		if record != nil {
			d.records = append(d.records, string(record))
		} else {
			d.bad += string(d.held[:n])
		}
		d.all += string(d.held[:n])
		d.held = d.held[n:]
	}
}

func TestRecordsHoldTheirFramingBytes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		f     Framing
		input string
		want  []string
		bad   string
	}{
		{"raw", Framing{}, "a\nb", []string{"a\nb"}, ""},
		{"raw longer than max", Framing{Max: 2}, "abcde", []string{"ab", "cd", "e"}, ""},
		{"lines", Framing{Kind: "lines"}, "a\n\nb\r\n", []string{"a\n", "\n", "b\r\n"}, ""},
		{"last line without newline", Framing{Kind: "lines"}, "a\nb", []string{"a\n", "b"}, ""},
		{"line of max", Framing{Kind: "lines", Max: 3}, "ab\ncd\n", []string{"ab\n", "cd\n"}, ""},
		{"line longer than max", Framing{Kind: "lines", Max: 3}, "a\nbcdefg\nh\n", []string{"a\n", "h\n"}, "bcdefg\n"},
		{"last line longer than max", Framing{Kind: "lines", Max: 3}, "a\nbcd", []string{"a\n"}, "bcd"},
		{"fixed", Framing{Kind: "fixed", Size: 2}, "abcd", []string{"ab", "cd"}, ""},
		{"fixed, half a record at the end", Framing{Kind: "fixed", Size: 2}, "abc", []string{"ab"}, "c"},
		{"length 1", Framing{Kind: "length", Size: 1}, "\x02ab\x00\x01c", []string{"\x02ab", "\x00", "\x01c"}, ""},
		{"length 2", Framing{Kind: "length", Size: 2}, "\x00\x02ab", []string{"\x00\x02ab"}, ""},
		{"length 2 little-endian", Framing{Kind: "length", Size: 2, LittleEndian: true}, "\x02\x00ab", []string{"\x02\x00ab"}, ""},
		{"length 4", Framing{Kind: "length", Size: 4}, "\x00\x00\x00\x01a", []string{"\x00\x00\x00\x01a"}, ""},
		{"length 4 little-endian", Framing{Kind: "length", Size: 4, LittleEndian: true}, "\x01\x00\x00\x00a", []string{"\x01\x00\x00\x00a"}, ""},
		{"length, cut in the prefix", Framing{Kind: "length", Size: 4}, "\x00\x00\x00", nil, "\x00\x00\x00"},
		{"length, cut in the body", Framing{Kind: "length", Size: 1}, "\x01a\x05bcd", []string{"\x01a"}, "\x05bcd"},
		{"length longer than max", Framing{Kind: "length", Size: 1, Max: 4}, "\x01a\x05bcdef\x01g", []string{"\x01a", "\x01g"}, "\x05bcdef"},
		{"length of 4 GiB", Framing{Kind: "length", Size: 4}, "\xff\xff\xff\xffabc", nil, "\xff\xff\xff\xffabc"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.f.Check(); err != nil {
				t.Fatal(err)
			}
			d := newFeeder(t, tt.f)
			d.feed(tt.input)
			d.end()
			if !slices.Equal(d.records, tt.want) {
				t.Errorf("records %q, want %q", d.records, tt.want)
			}
			if d.bad != tt.bad || d.f.Malformed() != int64(len(tt.bad)) {
				t.Errorf("malformed %q (%d), want %q", d.bad, d.f.Malformed(), tt.bad)
			}
		})
	}
}

func TestTwoHalfRecordsNeverMergeAcrossALoss(t *testing.T) {
	length, fixed := Framing{Kind: "length", Size: 1}, Framing{Kind: "fixed", Size: 3}
	for _, tt := range []struct {
		name string
		f    Framing
		run  func(d *feeder)
		want []string
		bad  string
	}{
		{"lines go on behind the next newline", Framing{Kind: "lines"},
			func(d *feeder) { d.feed("a\nb"); d.lost(); d.feed("c"); d.feed("d\ne\n") }, []string{"a\n", "e\n"}, "bcd\n"},
		{"lines do so also when none was in hand", Framing{Kind: "lines"},
			func(d *feeder) { d.feed("a\n"); d.lost(); d.feed("d\ne\n") }, []string{"a\n", "e\n"}, "d\n"},
		{"a pause is no newline", Framing{Kind: "lines"},
			func(d *feeder) { d.feed("b"); d.lost(); d.f.Pause(); d.feed("c\nd\n") }, []string{"d\n"}, "bc\n"},
		{"a certain boundary saves the line", Framing{Kind: "lines"},
			func(d *feeder) { d.feed("b"); d.lost(); d.f.Boundary(); d.feed("c\nd\n") }, []string{"c\n", "d\n"}, "b"},
		{"a loss inside a line that is too long", Framing{Kind: "lines", Max: 3},
			func(d *feeder) { d.feed("bcde"); d.lost(); d.feed("f\ng\n") }, []string{"g\n"}, "bcdef\n"},
		{"fixed goes on at a pause", fixed,
			func(d *feeder) { d.feed("abca"); d.lost(); d.feed("xbcabc"); d.f.Pause(); d.feed("abc") }, []string{"abc", "abc"}, "axbcabc"},
		{"length goes on at a pause", length,
			func(d *feeder) { d.feed("\x01a\x05b"); d.lost(); d.feed("\x01c"); d.f.Pause(); d.feed("\x01d") }, []string{"\x01a", "\x01d"}, "\x05b\x01c"},
		{"a pause without a loss changes nothing", length,
			func(d *feeder) { d.feed("\x02a"); d.f.Pause(); d.feed("b") }, []string{"\x02ab"}, ""},
		{"a pause ends a record that is too long", Framing{Kind: "length", Size: 1, Max: 4},
			func(d *feeder) { d.feed("\xffab"); d.f.Pause(); d.feed("\x01c") }, []string{"\x01c"}, "\xffab"},
		{"raw has nothing to tear", Framing{},
			func(d *feeder) { d.feed("ab"); d.lost(); d.feed("c") }, []string{"ab", "c"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newFeeder(t, tt.f)
			tt.run(d)
			d.end()
			if !slices.Equal(d.records, tt.want) || d.bad != tt.bad {
				t.Errorf("records %q, malformed %q; want %q, %q", d.records, d.bad, tt.want, tt.bad)
			}
		})
	}
}

func TestAnInvalidFramingIsCutAsRaw(t *testing.T) {
	d := newFeeder(t, Framing{})
	d.f = NewFramer(Framing{Kind: "fixed", Size: -5})
	d.feed("abc")
	if got, want := d.records, []string{"abc"}; !slices.Equal(got, want) {
		t.Errorf("records %q, want %q", got, want)
	}
}

// anyFraming draws a framing with a small Max, so that its limits are met.
func anyFraming(t *rapid.T) Framing {
	f := Framing{
		Kind: rapid.SampledFrom([]string{"raw", "lines", "length", "fixed"}).Draw(t, "kind"),
		Max:  rapid.IntRange(8, 20).Draw(t, "max"),
	}
	switch f.Kind {
	case "fixed":
		f.Size = rapid.IntRange(1, 8).Draw(t, "size")
	case "length":
		f.Size = rapid.SampledFrom([]int{1, 2, 4}).Draw(t, "size")
		f.LittleEndian = rapid.Bool().Draw(t, "little-endian")
	}
	return f
}

// message is one record of f with that body, and whether f has room for it.
func message(f Framing, body string) (string, bool) {
	var m string
	switch f.Kind {
	case "lines":
		m = strings.ReplaceAll(body, "\n", " ") + "\n"
	case "fixed":
		m = (body + strings.Repeat(".", f.Size))[:f.Size]
	default:
		var p [4]byte
		if f.LittleEndian {
			binary.LittleEndian.PutUint32(p[:], uint32(len(body)))
			m = string(p[:f.Size]) + body
		} else {
			binary.BigEndian.PutUint32(p[:], uint32(len(body)))
			m = string(p[4-f.Size:]) + body
		}
	}
	return m, len(m) <= f.Max
}

func TestWhatWasSentIsWhatIsCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := anyFraming(t)
		if f.Kind == "raw" {
			f = Framing{Kind: "lines", Max: f.Max}
		}
		var stream, bad string
		var want []string
		for _, body := range rapid.SliceOf(rapid.StringOfN(rapid.RuneFrom([]rune("ab\n")), 0, 30, -1)).Draw(t, "bodies") {
			m, fits := message(f, body)
			if fits {
				want = append(want, m)
			} else {
				bad += m
			}
			stream += m
		}
		d := newFeeder(t, f)
		for len(stream) > 0 {
			n := rapid.IntRange(1, len(stream)).Draw(t, "chunk")
			d.feed(stream[:n])
			stream = stream[n:]
		}
		d.end()
		if !slices.Equal(d.records, want) || d.bad != bad {
			t.Fatalf("%+v: records %q, malformed %q; want %q, %q", f, d.records, d.bad, want, bad)
		}
	})
}

func TestNoRecordSpansALoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := anyFraming(t)
		d := newFeeder(t, f)
		// Each piece between losses is of one letter, so that a record of
		// two letters is a record that spans a loss.
		for i := range rapid.IntRange(1, 5).Draw(t, "pieces") {
			letter := string(rune('a' + i))
			for range rapid.IntRange(0, 4).Draw(t, "chunks") {
				d.feed(rapid.StringOfN(rapid.RuneFrom([]rune(letter+"\n\x00\x03")), 0, 12, -1).Draw(t, "bytes"))
				if rapid.Bool().Draw(t, "pause") {
					d.f.Pause()
				}
			}
			d.lost()
		}
		d.end()
		for _, r := range d.records {
			letters := strings.Trim(r, "\n\x00\x03")
			if strings.Trim(letters, letters[:min(1, len(letters))]+"\n\x00\x03") != "" {
				t.Fatalf("%+v: record %q has bytes of both sides of a loss", f, r)
			}
		}
		if int64(len(d.bad)) != d.f.Malformed() {
			t.Fatalf("%+v: Malformed() = %d, want %d", f, d.f.Malformed(), len(d.bad))
		}
	})
}

// scan runs a Scanner over input and returns the tokens.
func scan(t *testing.T, f Framing, r io.Reader) []string {
	t.Helper()
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, f.Limit()), f.Limit())
	s.Split(f.Split())
	var records []string
	for s.Scan() {
		records = append(records, s.Text())
	}
	if err := s.Err(); err != nil {
		t.Errorf("%+v: Scanner: %v", f, err)
	}
	return records
}

func FuzzFramer(f *testing.F) {
	kinds := []string{"raw", "lines", "length", "fixed"}
	f.Add([]byte("a\nbb\n\ncccccccccccccccccc\nd"), uint8(1), uint8(0), uint8(9), []byte{3, 1, 7})
	f.Add([]byte("\x01a\x00\x09123456789\xff"), uint8(2), uint8(1), uint8(6), []byte{1})
	f.Add([]byte("\x00\x00\x00\x02ab\xff\xff\xff\xff"), uint8(2), uint8(4), uint8(16), []byte{2, 0, 5})
	f.Add([]byte("abcdefghij"), uint8(3), uint8(4), uint8(0), []byte{4})
	f.Fuzz(func(t *testing.T, input []byte, kind, size, limit uint8, chunks []byte) {
		fr := Framing{Kind: kinds[kind%4], Size: int(size), Max: int(limit)}
		if fr.Check() != nil {
			return
		}
		whole := newFeeder(t, fr)
		whole.feed(string(input))
		whole.end()

		pieces := newFeeder(t, fr)
		for rest := input; len(rest) > 0; {
			n := len(rest)
			if len(chunks) > 0 {
				n = min(n, int(chunks[0])+1)
				chunks = chunks[1:]
			}
			pieces.feed(string(rest[:n]))
			rest = rest[n:]
		}
		pieces.end()

		for _, d := range []*feeder{whole, pieces} {
			if d.all != string(input) {
				t.Errorf("%+v: records and malformed bytes are %q, want the input %q", fr, d.all, input)
			}
			if int64(len(d.bad)) != d.f.Malformed() {
				t.Errorf("%+v: Malformed() = %d, want %d", fr, d.f.Malformed(), len(d.bad))
			}
			for _, r := range d.records {
				if len(r) == 0 || len(r) > fr.Limit() {
					t.Errorf("%+v: a record of %d bytes, limit %d", fr, len(r), fr.Limit())
				}
			}
		}
		if fr.Kind == "raw" {
			return // raw records are whatever was at hand
		}
		if !slices.Equal(whole.records, pieces.records) || whole.bad != pieces.bad {
			t.Errorf("%+v: in one piece %q and malformed %q, in several %q and %q", fr, whole.records, whole.bad, pieces.records, pieces.bad)
		}
		for name, r := range map[string]io.Reader{
			"plain": bytes.NewReader(input), "one byte": iotest.OneByteReader(bytes.NewReader(input)), "data with EOF": iotest.DataErrReader(bytes.NewReader(input)),
		} {
			if got := scan(t, fr, r); !slices.Equal(got, whole.records) {
				t.Errorf("%+v: Scanner over %s: %q, want %q", fr, name, got, whole.records)
			}
		}
	})
}
