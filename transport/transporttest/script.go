package transporttest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ParseScript reads a script. It has one fault or one set of modes a line, or
// between semicolons; what follows a % is a comment:
//
//	OP[#PART] ACTION[=ARGUMENT] [*TIMES]
//	mode NAME[=VALUE]...
//
// OP is one of Ops. The first fault of the script that matches a request
// spoils it and is used up, TIMES such (one by default). ACTION is one of
//
//	cut-up=BYTES     let so much of the request's body through, then hang up
//	reset=BYTES      the same, with a TCP reset
//	drop             the server does its work, the reply is lost
//	cut-down=BYTES   let so much of the reply's body through, then hang up
//	stall            no answer until the client hangs up
//	stall=DURATION   no answer, and hang up after so long
//	status=N:CODE    answer with this status and S3 error code, the server sees nothing
//	slow-down=SECS   503 SlowDown with Retry-After, the server sees nothing
//	lie=KIND         answer 200 (empty, blank, html, json, error), the server sees nothing
//	late=N:CODE      as status, once the server has done its work
//	late-lie=KIND    as lie, once the server has done its work
//	redirect         307 to another address of the same server
//	drip=N           blanks, one a millisecond, before the body of the reply
//	skew=DURATION    move the reply's Date
//	twice            the reply comes twice
//	refuse=DURATION  hang up and refuse connections for so long
//	bad-tls          hang up and fail the next handshake
//	pass             no harm; to count, or to leave the first ones alone
//
// For the modes see Modes.
func ParseScript(text string) ([]Fault, Modes, error) {
	var (
		faults []Fault
		modes  Modes
	)
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == ';' })
	for n, line := range lines {
		line, _, _ = strings.Cut(line, "%")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if len(faults) == maxFaults {
			return nil, modes, fmt.Errorf("script: more than %d faults", maxFaults)
		}
		var err error
		if words[0] == "mode" {
			err = modes.parse(words[1:])
		} else {
			var f Fault
			f, err = parseFault(words)
			faults = append(faults, f)
		}
		if err != nil {
			return nil, modes, fmt.Errorf("script, line %d %q: %w", n+1, strings.TrimSpace(line), err)
		}
	}
	return faults, modes, nil
}

// FormatScript is ParseScript the other way round.
func FormatScript(faults []Fault, modes Modes) string {
	var lines []string
	if m := modes.String(); m != "" {
		lines = append(lines, "mode "+m)
	}
	for _, f := range faults {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "; ")
}

// Bounds of what a script may ask for.
const (
	maxFaults   = 1000
	maxTimes    = 1_000_000
	maxDrip     = 600_000
	maxScripted = 100 * 365 * 24 * time.Hour
)

func parseFault(words []string) (Fault, error) {
	var f Fault
	op, part, hasPart := strings.Cut(words[0], "#")
	if f.Op = op; !slices.Contains(Ops, op) {
		return f, fmt.Errorf("%q is no call; use one of %s", op, strings.Join(Ops, " "))
	}
	if hasPart {
		n, err := number(part, 10_000)
		if err != nil || op != "part" || n == 0 {
			return f, errors.New("a number goes with part alone, and is 1 to 10000")
		}
		f.Part = int(n)
	}
	switch {
	case len(words) == 3 && strings.HasPrefix(words[2], "*"):
		n, err := number(words[2][1:], maxTimes)
		if err != nil {
			return f, fmt.Errorf("times: %w", err)
		}
		f.Times = int(n)
	case len(words) != 2:
		return f, errors.New("must be OP[#PART] ACTION[=ARGUMENT] [*TIMES]")
	}
	f.name = words[1]
	action, arg, _ := strings.Cut(words[1], "=")
	return f, f.set(action, arg)
}

// set says what to do.
func (f *Fault) set(action, arg string) (err error) {
	switch action {
	case "cut-up":
		f.CutUpload, err = positive(arg)
	case "reset":
		f.Reset, err = positive(arg)
	case "cut-down":
		f.CutReply, err = positive(arg)
	case "stall":
		if f.Stall = arg == ""; !f.Stall {
			f.StallFor, err = forward(arg)
		}
	case "status":
		f.Instead, err = failure(arg)
	case "late":
		f.After, err = failure(arg)
	case "lie":
		f.Instead, err = lie(arg)
	case "late-lie":
		f.After, err = lie(arg)
	case "slow-down":
		if _, err = number(arg, math.MaxInt32); err == nil {
			f.Instead = s3Error(503, "SlowDown")
			f.Instead.Header["Retry-After"] = arg
		}
	case "drip":
		var n int64
		n, err = number(arg, maxDrip)
		f.Drip = int(n)
	case "skew":
		f.Skew, err = duration(arg)
	case "refuse":
		f.Refuse, err = forward(arg)
	case "drop", "redirect", "twice", "bad-tls", "pass":
		if arg != "" {
			return fmt.Errorf("%s takes no argument", action)
		}
		f.DropReply, f.Redirect, f.Twice, f.BadTLS = action == "drop", action == "redirect", action == "twice", action == "bad-tls"
	default:
		return fmt.Errorf("%q is no action", action)
	}
	return err
}

// Lies are the kinds of a 200 that is none.
var Lies = []string{"empty", "blank", "html", "json", "error"}

func lie(kind string) (*CannedReply, error) {
	c := &CannedReply{Status: 200}
	switch kind {
	case "empty":
	case "blank":
		c.Body = strings.Repeat(" ", 1000)
	case "html":
		c.Header = map[string]string{"Content-Type": "text/html"}
		c.Body = "<html><body>Welcome to Hotel Wi-Fi</body></html>"
	case "json":
		c.Header = map[string]string{"Content-Type": "application/json"}
		c.Body = `{"ok":true}`
	case "error":
		c = s3Error(200, "InternalError")
	default:
		return nil, fmt.Errorf("%q is no lie; use one of %s", kind, strings.Join(Lies, " "))
	}
	return c, nil
}

// failure reads "status:code".
func failure(arg string) (*CannedReply, error) {
	status, code, _ := strings.Cut(arg, ":")
	n, err := strconv.Atoi(status)
	if err != nil || n < 200 || n > 599 || strings.ContainsAny(code, "<>&") {
		return nil, fmt.Errorf("%q must be STATUS:CODE, such as 500:InternalError", arg)
	}
	return s3Error(n, code), nil
}

func number(text string, limit int64) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > limit {
		return 0, fmt.Errorf("%q must be a number up to %d", text, limit)
	}
	return n, nil
}

// positive reads bytes; 0 would mean that there is no such fault.
func positive(text string) (int64, error) {
	n, err := number(text, math.MaxInt64)
	if n == 0 && err == nil {
		err = errors.New("must be at least 1")
	}
	return n, err
}

func duration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d == 0 || d > maxScripted || d < -maxScripted {
		return 0, fmt.Errorf("%q must be a duration such as 1.5s, up to %v", text, maxScripted)
	}
	return d, nil
}

// forward is a duration that is not negative.
func forward(text string) (time.Duration, error) {
	d, err := duration(text)
	if d < 0 && err == nil {
		err = fmt.Errorf("%q must not be negative", text)
	}
	return d, err
}
