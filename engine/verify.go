package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seed-7270d448/dray/transport"
)

// VerifySelection says which receipts to verify. The zero value is all.
type VerifySelection struct {
	Stream string    // only those of this stream
	Since  time.Time // only those of objects completed at or after
}

// What a destination says of the object that a receipt names.
const (
	VerifiedSame      = "same"
	VerifiedAbsent    = "absent"    // moved away since, by whoever uses the archive, or lost
	VerifiedDifferent = "different" // not the object of the receipt
	VerifiedUnknown   = "unknown"   // the destination did not answer, cannot, or is not configured
)

// Verified is one receipt held against the archive. Its JSON names are a contract.
type Verified struct {
	Destination string `json:"destination"`
	Stream      string `json:"stream"`
	Epoch       string `json:"epoch"`
	Start       int64  `json:"start"`
	Key         string `json:"key"`
	State       string `json:"state"`
	// Why says what is different, one sentence each, or why it is not known.
	Why []string `json:"why,omitempty"`
}

// VerifySummary counts receipts by what came of them.
type VerifySummary struct {
	Receipts  int64 `json:"receipts"`
	Same      int64 `json:"same"`
	Absent    int64 `json:"absent"`
	Different int64 `json:"different"`
	Unknown   int64 `json:"unknown"`
	Weak      int64 `json:"without_checksum"` // same, by size and identity alone
	Dropped   int64 `json:"dropped"`          // given up by policy: nothing to verify
}

// Verify asks the destinations for the object of each selected receipt of a
// state folder, several at a time, and calls fn, one call at a time, with each
// that is not there as the receipt says. It writes nothing, holds no list, and
// works beside a running engine. An error of fn ends it.
func Verify(ctx context.Context, stateDir string, destinations []Destination, sel VerifySelection, fn func(Verified) error) (VerifySummary, error) {
	var sum VerifySummary
	feed := func(yield func(Receipt) error) error {
		return ReadReceipts(stateDir, func(r Receipt) error {
			switch {
			case sel.Stream != "" && r.Stream != sel.Stream, r.CompletedAt.Before(sel.Since):
				return nil
			case r.Dropped != "":
				sum.Dropped++
				return nil
			}
			return yield(r)
		})
	}
	type answer struct {
		Verified
		weak bool
	}
	look := func(ctx context.Context, r Receipt) (answer, error) {
		v, weak := verify(ctx, destinations, r)
		return answer{v, weak}, ctx.Err()
	}
	err := bulk(ctx, feed, look, func(a answer) error {
		sum.Receipts++
		switch a.State {
		case VerifiedSame:
			sum.Same++
			if a.weak {
				sum.Weak++
			}
			return nil
		case VerifiedAbsent:
			sum.Absent++
		case VerifiedDifferent:
			sum.Different++
		default:
			sum.Unknown++
		}
		return fn(a.Verified)
	})
	return sum, err
}

// verify asks for one object. weak: nothing but size and identity was compared.
func verify(ctx context.Context, destinations []Destination, r Receipt) (v Verified, weak bool) {
	v = Verified{Destination: r.Destination, Stream: r.Stream, Epoch: r.Epoch, Start: r.Start, Key: r.Key, State: VerifiedUnknown}
	d := (&Config{Destinations: destinations}).destination(r.Destination)
	if d == nil || d.To == nil {
		v.Why = []string{"its destination is not configured any more"}
		return v, false
	}
	c, ok := d.To.(transport.Catalogue)
	if !ok {
		v.Why = []string{"its destination cannot describe objects"}
		return v, false
	}
	var stored *transport.Stored
	err := ask(ctx, func() (err error) {
		stored, err = c.Stat(ctx, r.Key)
		return err
	})
	switch {
	case err != nil:
		v.Why = []string{err.Error()}
	case stored == nil:
		v.State = VerifiedAbsent
	default:
		v.State = VerifiedSame
		if v.Why, weak = differences(r, *stored); len(v.Why) > 0 {
			v.State = VerifiedDifferent
		}
	}
	return v, weak
}

// differences says how an object is not that of the receipt. An ETag never
// decides. weak: the two have no checksum of one type.
func differences(r Receipt, s transport.Stored) (why []string, weak bool) {
	differ := func(what string, receipt, found any) {
		why = append(why, fmt.Sprintf("%s is %v, the receipt says %v", what, found, receipt))
	}
	if s.Size != r.Size {
		differ("size", r.Size, s.Size)
	}
	want, have := checksumType(r.Checksum), checksumType(s.Checksum)
	switch {
	case want == "" || want != have:
		weak = true
	case s.Checksum != r.Checksum:
		differ("checksum", r.Checksum, s.Checksum)
	}
	for _, id := range []struct{ name, want string }{
		{"dray-stream", r.Stream},
		{"dray-epoch", r.Epoch},
		{"dray-start", strconv.FormatInt(r.Start, 10)},
	} {
		if got := s.Metadata[id.name]; got != id.want {
			if got == "" {
				got = "absent"
			}
			differ("metadata "+id.name, id.want, got)
		}
	}
	return why, weak
}

// checksumType returns the algorithm of a checksum, and whether it is one of
// parts' checksums, which ends in "-N". Only equal types can be compared.
func checksumType(sum string) string {
	kind, value, _ := strings.Cut(sum, ":")
	if strings.Contains(value, "-") {
		kind += "-"
	}
	return kind
}

// Err returns nil if every object is where its receipt says, or absent; with
// strict an absent one is an error too.
func (s VerifySummary) Err(strict bool) error {
	var bad []string
	if s.Different > 0 {
		bad = append(bad, fmt.Sprintf("%d different", s.Different))
	}
	if s.Unknown > 0 {
		bad = append(bad, fmt.Sprintf("%d not known", s.Unknown))
	}
	if strict && s.Absent > 0 {
		bad = append(bad, fmt.Sprintf("%d absent", s.Absent))
	}
	if len(bad) == 0 {
		return nil
	}
	return errors.New("of " + strconv.FormatInt(s.Receipts, 10) + " objects: " + strings.Join(bad, ", "))
}
