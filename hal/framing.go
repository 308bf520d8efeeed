package hal

import (
	"errors"
	"fmt"
)

// Framing says how a byte stream is cut into records. The zero value is raw.
//
// A record holds its framing bytes (newline, length prefix), so that stored
// records put end to end are the input, byte for byte, save what was malformed.
type Framing struct {
	Kind         string // "raw" (also ""), "lines", "length", "fixed"
	Max          int    // greatest record in bytes, its framing bytes included; 0: DefaultMaxRecord
	Size         int    // fixed: bytes of each record; length: bytes of the prefix: 1, 2 or 4
	LittleEndian bool   // length: the prefix is little-endian
}

// Limits of Framing.Max, in bytes.
const (
	DefaultMaxRecord = 64 << 10
	MaxRecord        = 1 << 20
)

// Limit returns the greatest record in bytes: Max, or what stands for it. A
// buffer of this size is always enough: given so many bytes, neither a Framer
// nor a Split asks for more.
func (f Framing) Limit() int {
	if f.Max == 0 {
		return DefaultMaxRecord
	}
	return f.Max
}

// Check says what is wrong with f, nil if nothing is.
func (f Framing) Check() error {
	if err := f.check(); err != nil {
		return fmt.Errorf("framing %q: %w", f.Kind, err)
	}
	return nil
}

func (f Framing) check() error {
	if f.Max < 0 || f.Max > MaxRecord {
		return fmt.Errorf("max is %d bytes; it must be 1 to %d, or 0 for %d", f.Max, MaxRecord, DefaultMaxRecord)
	}
	switch f.Kind {
	case "", "raw", "lines":
		if f.Size != 0 {
			return errors.New("size is only for fixed and length")
		}
	case "fixed":
		if f.Size < 1 {
			return fmt.Errorf("size is %d; say how many bytes each record has", f.Size)
		}
		if f.Size > f.Limit() {
			return fmt.Errorf("size is %d, more than max, which is %d; raise max (at most %d)", f.Size, f.Limit(), MaxRecord)
		}
	case "length":
		if f.Size != 1 && f.Size != 2 && f.Size != 4 {
			return fmt.Errorf("size is %d; a length prefix has 1, 2 or 4 bytes", f.Size)
		}
		if f.Limit() <= f.Size {
			return fmt.Errorf("max is %d, no room for anything behind a prefix of %d bytes; raise max", f.Max, f.Size)
		}
	default:
		return errors.New("unknown kind; use raw, lines, length or fixed")
	}
	if f.LittleEndian && f.Kind != "length" {
		return errors.New("little-endian is only for length")
	}
	return nil
}
