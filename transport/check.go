package transport

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what Object.Check lets through, in bytes: what S3 takes, which is
// the narrowest.
const (
	MaxKey      = 1024
	MaxMetadata = 2 << 10 // names and values together
)

// Check says what is wrong with an object that no destination could store
// faithfully: a key that some servers clean or refuse, metadata that some
// would mangle. nil: nothing.
func (o Object) Check() error {
	if err := CheckKey(o.Key); err != nil {
		return err
	}
	if o.Size < -1 {
		return fmt.Errorf("size %d: must not be negative", o.Size)
	}
	total := 0
	for name, value := range o.Metadata {
		total += len(name) + len(value)
		if name == "" || strings.ContainsFunc(name, notNameRune) {
			return fmt.Errorf("metadata name %q: must be lower-case ASCII letters, digits and '-'", name)
		}
		if strings.ContainsFunc(value, notPrintable) {
			return fmt.Errorf("metadata %s %q: must be printable ASCII", name, value)
		}
	}
	if total > MaxMetadata {
		return fmt.Errorf("metadata of %d bytes: must be at most %d", total, MaxMetadata)
	}
	return nil
}

// CheckKey says what is wrong with key: it must be a relative, clean,
// slash-separated path of printable UTF-8, at most MaxKey bytes. nil: nothing.
func CheckKey(key string) error {
	switch {
	case key == "" || key == ".":
		return errors.New("key is empty")
	case len(key) > MaxKey:
		return fmt.Errorf("key of %d bytes: must be at most %d", len(key), MaxKey)
	case !utf8.ValidString(key):
		return fmt.Errorf("key %q: must be UTF-8", key)
	case strings.ContainsFunc(key, unicode.IsControl):
		return fmt.Errorf("key %q: must not hold control characters", key)
	case !fs.ValidPath(key):
		return fmt.Errorf(`key %q: must be relative, without empty, "." or ".." elements`, key)
	}
	return nil
}

func notNameRune(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-')
}

func notPrintable(r rune) bool { return r < ' ' || r > '~' }

// IdentityPrefix begins the metadata names that say which bytes of which
// stream an object holds.
const IdentityPrefix = "dray-"

// IsObject reports whether s is o: identity metadata and size equal, and the
// checksum where s has one of the same type. An ETag never decides. Without
// any identity metadata only an equal checksum does.
func (s Stored) IsObject(o Object) bool {
	if s.Size != o.Size {
		return false
	}
	sum, hasSum := strings.CutPrefix(s.Checksum, ChecksumPrefix)
	if hasSum && sum != EncodeCRC32C(o.CRC32C) {
		return false
	}
	want := identity(o.Metadata)
	if len(want) == 0 && !hasSum {
		return false
	}
	return maps.Equal(identity(s.Metadata), want)
}

// identity returns the pairs of m that identify an object.
func identity(m map[string]string) map[string]string {
	id := make(map[string]string, len(m))
	for name, value := range m {
		if strings.HasPrefix(name, IdentityPrefix) {
			id[name] = value
		}
	}
	return id
}

// partsBound is above what any destination takes; it bounds what a damaged
// number can make CheckParts do.
const partsBound = 100_000

// CheckParts says what is wrong with the parts that Complete is given: they
// must be numbered from 1 without a hole, add up to the object's size and,
// where the checksum of each is known, to its checksum. nil: nothing.
// Parts that are not there come back in missing, with a nil error.
func (o Object) CheckParts(parts []PartReceipt, partSize int64) (missing []int, err error) {
	if o.Size < 0 {
		return nil, errors.New("size is not known: an object has to be sealed first")
	}
	var (
		size, next = int64(0), 1
		crc        uint32
		allCRC     = true
	)
	for _, p := range parts {
		if p.Number > partsBound {
			return nil, fmt.Errorf("part %d: no destination takes so many", p.Number)
		}
		if p.Number < next {
			return nil, fmt.Errorf("part %d after part %d: parts must ascend", p.Number, next-1)
		}
		for ; next < p.Number; next++ {
			missing = append(missing, next)
		}
		next++
		size += p.Size
		crc = CombineCRC32C(crc, p.CRC32C, p.Size)
		allCRC = allCRC && p.HasCRC
	}
	if partSize > 0 {
		count := max(1, o.Size/partSize+min(1, o.Size%partSize))
		if count > partsBound {
			return nil, fmt.Errorf("%d parts of %d bytes: no destination takes so many", count, partSize)
		}
		for ; next <= int(count); next++ {
			missing = append(missing, next)
		}
	}
	switch {
	case len(missing) > 0:
		return missing, nil
	case size != o.Size:
		return nil, fmt.Errorf("parts hold %d bytes, the object has %d", size, o.Size)
	case allCRC && crc != o.CRC32C:
		return nil, fmt.Errorf("parts have CRC32C %08x together, the object has %08x: %w", crc, o.CRC32C, ErrChecksum)
	}
	return nil, nil
}

// ErrChecksum is in the chain of an error that says that bytes and their
// checksum do not agree.
var ErrChecksum = errors.New("checksum does not match")
