package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/seed-7270d448/dray/transport/transporttest"
)

// A plan is one random case: an object of several parts, perhaps a small one
// behind it, the server that it meets and what befalls it. It is made from its
// seed alone.
type plan struct {
	seed     uint64
	partSize int64
	size     int64 // of the object in parts
	small    int64 // of the one behind it, which is put whole; 0: there is none
	checksum string
	kind     string // of the checksum
	script   string
	modes    transporttest.Modes
	readable bool     // its objects may be asked for
	resends  bool     // the server takes a part number twice
	codes    []string // what the service answers besides what all do
	bodiless bool     // its answers to what changes something are in their headers
}

func (p *plan) parts() int { return int((p.size + p.partSize - 1) / p.partSize) }

func (p *plan) String() string {
	return fmt.Sprintf("%d bytes in parts of %d, %d bytes put, checksum %s %s\n  %s", p.size, p.partSize, p.small, p.checksum, p.kind, p.script)
}

// schemes are the checksums to choose from, with their types.
var schemes = [][2]string{
	{"crc32c", "full_object"}, {"crc32c", "composite"}, {"crc64nvme", "full_object"}, {"crc32", "full_object"}, {"crc32", "composite"},
	{"sha1", "composite"}, {"sha256", "composite"},
}

// newPlan draws a plan. Each has at least three faults, of at least two kinds,
// that are bound to come to pass, since they are on calls that an upload of
// three parts has to make.
func newPlan(seed uint64) *plan {
	r := rand.New(rand.NewPCG(seed, 0x6661756c7473))
	p := &plan{seed: seed, partSize: 16<<10 + r.Int64N(32<<10)}
	m := drawModes(r)
	p.readable, p.resends = !strings.Contains(m, "deny-head"), !strings.Contains(m, "no-resend")
	p.size = p.partSize*int64(2+r.IntN(4)) + 1 + r.Int64N(p.partSize)
	if r.IntN(4) == 0 {
		p.small = 1 + r.Int64N(p.partSize)
	}
	s := schemes[r.IntN(len(schemes))]
	p.checksum, p.kind = s[0], s[1]
	lines := p.faults(r)
	if m != "" {
		lines = append([]string{"mode " + m}, lines...)
	}
	p.script = strings.Join(lines, "; ")
	var err error
	if _, p.modes, err = transporttest.ParseScript(p.script); err != nil {
		panic(err) // what is drawn below is no script
	}
	return p
}

func drawModes(r *rand.Rand) string {
	var words []string
	for _, m := range []string{"ignore-condition", "no-condition", "deny-head", "deny-list", "deny-abort", "empty-etag", "no-checksums", "ignore-checksums", "no-resend"} {
		if r.IntN(6) == 0 {
			words = append(words, m)
		}
	}
	if r.IntN(2) == 0 {
		words = append(words, "again="+transporttest.AgainAnswers[r.IntN(len(transporttest.AgainAnswers))])
	}
	return strings.Join(words, " ")
}

// faults draws the lines of a script.
func (p *plan) faults(r *rand.Rand) []string {
	// A call succeeds only once its faults are used up, so those on parts and on
	// the beginning come to pass, however many there are. Of those on the end one
	// does: it may be the one that lets the server do its work. So it is with a part
	// that the server does not take twice.
	sure := []string{"complete", "create"}
	for n := range p.parts() {
		sure = append(sure, fmt.Sprintf("part#%d", n+1))
	}
	var lines []string
	kinds := map[string]bool{}
	for certain := 0; certain < 3 || len(kinds) < 2 || r.IntN(2) == 0; {
		op := sure[r.IntN(len(sure))]
		action := p.spoil(r, op)
		again := op != "create" && slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, op+" ") })
		if op != "complete" && (p.resends || !again) {
			kind, _, _ := strings.Cut(action, "=")
			kinds[kind] = true
			certain++
		}
		lines = append(lines, op+" "+action+times(r))
	}
	r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	// Behind them some that let a call succeed, or are on calls that need not be
	// made.
	mild := []string{"drip=20", "twice", "redirect", "pass", "skew=-1h", "skew=87600h"}
	for r.IntN(2) == 0 {
		op := append(sure, "put", "head", "parts", "uploads", "abort", "any")[r.IntN(len(sure)+6)]
		action := p.spoil(r, op)
		if r.IntN(3) > 0 {
			action = draw(r, mild...)
		}
		lines = append(lines, op+" "+action)
	}
	return lines
}

func times(r *rand.Rand) string {
	if r.IntN(4) == 0 {
		return fmt.Sprintf(" *%d", 2+r.IntN(3))
	}
	return ""
}

// spoil draws what fails a call.
func (p *plan) spoil(r *rand.Rand, op string) string {
	name, _, _ := strings.Cut(op, "#")
	switch n := r.IntN(20); {
	case n < 4 && (name == "part" || name == "put"):
		return fmt.Sprintf("%s=%d", []string{"cut-up", "reset"}[r.IntN(2)], 1+r.Int64N(p.least(name)))
	case n < 7:
		return "drop"
	case n == 7 && name != "head" && name != "part" && !p.bodiless:
		return fmt.Sprintf("cut-down=%d", 1+r.IntN(60))
	case n == 8:
		return fmt.Sprintf("stall=%dms", 1+r.IntN(20))
	case n == 9:
		return fmt.Sprintf("slow-down=%d", r.IntN(5))
	case n == 10:
		return fmt.Sprintf("refuse=%dms", 1+r.IntN(20))
	case n == 11:
		return "lie=" + transporttest.Lies[r.IntN(len(transporttest.Lies))]
	case n == 12:
		return "late-lie=" + transporttest.Lies[r.IntN(len(transporttest.Lies))]
	case n < 15:
		return "late=" + draw(r, "500:InternalError", "502:", "503:ServiceUnavailable", "504:")
	}
	codes := []string{"500:InternalError", "502:", "503:SlowDown", "504:", "400:RequestTimeout", "403:RequestTimeTooSkewed", "400:ExpiredToken", "429:", "501:NotImplemented"}
	codes = append(codes, p.codes...)
	switch name {
	case "part":
		codes = append(codes, "404:NoSuchUpload", "400:BadDigest", "403:AccessDenied")
	case "complete":
		codes = append(codes, "404:NoSuchUpload", "400:BadDigest", "400:InvalidPart", "400:InvalidPartOrder", "400:EntityTooSmall",
			"400:InvalidRequest", "409:ConditionalRequestConflict")
		if p.readable { // else a 412 is all that there is to go by, and must be true
			codes = append(codes, "412:PreconditionFailed")
		}
	}
	return "status=" + draw(r, codes...)
}

// least is how many bytes a call's body has at least, less one.
func (p *plan) least(name string) int64 {
	if name == "put" {
		return max(p.small-1, 1)
	}
	return max((p.size-1)%p.partSize, 1)
}

func draw(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }
