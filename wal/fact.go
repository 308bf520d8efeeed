package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Kind says what a Fact states. The values are part of the format.
type Kind uint8

// The kinds of fact, with the fields that each uses besides Stream and, from
// Opened on, Start (which names the object).
const (
	_         Kind = iota
	Identity       // Epoch, Name (machine): who this state folder belongs to
	Started        // Run, ID (boot), Time: a start-up; Run is never used again. Of the first boot that is known, Time is a guess at when it began
	Stopped        // Run: everything read in that run was kept
	Clock          // Run, Mono: the boot clock was seen so far; with N (Trust) and Time: what the wall clock said then
	Made           // Name, Epoch: a stream begins at offset 0
	Shaped         // Size (part size), Name (destination), Hash, ID (encoding): how objects opened from here on are laid out
	Totals         // Start, End, Gaps, GapBytes, Lost, Flags: a stream's running figures (snapshots only)
	Roll           // Slot, Start (base), Epoch and Size (the source's position behind the byte before base: its ID and offset): the stream's bytes from base on are in this slot
	Gap            // Start, End, Lost, Flags: the offsets [Start, End) hold nothing; with End = Start bytes were lost at Start that never had offsets
	Opened         // Run, Mono (of its first byte), Lost, Flags, Time (once that is fixed, in snapshots), Size (part size), Name (destination), Hash, ID (encoding), GapBytes (offsets before it that hold nothing): an object begins
	Cut            // N, CRC, Sum, Flags: part N is whole and kept
	Sealed         // End, CRC, Sum, Flags: the object ends; CRC, Sum and Flags are of its last part if that is not cut
	Intent         // Op, Key, Epoch (of the key; 0: the stream's first), Device, Lost, Time, Flags: what is about to be tried for the first time; the first fixes the key, and the gap, the time and what the metadata tells besides
	Begun          // ID: the destination's upload ID
	Stored         // N, ID (ETag), CRC and Flags (if it was not known), Sum (if it was made anew): the destination holds part N
	Missing        // N: the destination does not hold part N after all
	Reset          // N (how often so far; 0: that is of no matter), Flags: the upload is no more; begin again from part 1
	Completed      // ID (ETag), Sum (checksum), Archive, Location, Doubt, Time: the destination's receipt
	Dropped        // Flags, N (1: its gap is counted already): given up, by policy or since it is damaged
	Freed          // the receipt is durable, or the drop is done: the bytes are no longer needed
	Figure         // Name, Start, End, Size, Time: numbers that must outlive a restart, of whoever gave them the name; the last ones hold, all zero forgets it
	Sliced         // Size, Run, Mono: the object becomes two, of which the first has Size bytes; Run and Mono are of the second's first byte, 0: not known. Only ever committed, never noted
	Rekeyed        // Epoch, Run, Flags, N (1: what it changes is changed already): objects of the stream whose key is not fixed get keys of that epoch
	kindEnd
)

var kindNames = [...]string{"?", "identity", "started", "stopped", "clock", "made", "shaped", "totals", "roll", "gap",
	"opened", "cut", "sealed", "intent", "begun", "stored", "missing", "reset", "completed", "dropped", "freed", "figure", "sliced", "rekeyed"}

// String returns the kind's name in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Op is a remote call whose outcome matters after a power cut.
type Op uint8

// The calls that are announced by an Intent.
const (
	NoOp Op = iota
	OpCreate
	OpPut
	OpComplete
)

// String returns the op's name in lower case.
func (o Op) String() string {
	if int(o) < 4 {
		return [...]string{"none", "create", "put", "complete"}[o]
	}
	return fmt.Sprintf("op(%d)", uint8(o))
}

// Flags of facts and frames.
const (
	FlagLostUnknown uint8 = 1 << iota // bytes were lost, but not how many
	FlagEstimated                     // the time of capture is a guess: the clock was not known
	FlagSlice                         // of Opened: the object is a part of one that was sliced
	FlagUnread                        // of Cut and Sealed: the part's CRC and Sum are not known; of Stored: its CRC was not, and is told
	FlagDamaged                       // of Dropped: its bytes cannot be read any more
	FlagFollows                       // of Opened and Intent: what the stream holds before it has keys of an epoch before; of Rekeyed: so it is with the next object to open
	FlagTaken                         // of Reset: others hold its key, so the next intent fixes another
)

// A Fact is one thing that became true. The journal is a list of facts; State
// is their fold. Which fields a kind uses is said at the kinds; others are zero.
type Fact struct {
	Kind     Kind
	Flags    uint8
	Op       Op
	Stream   uint32
	Slot     uint32
	Run      uint32
	CRC      uint32
	N        int
	Epoch    uint64
	Start    int64
	End      int64
	Size     int64
	Lost     int64
	Gaps     int64
	GapBytes int64
	Time     int64 // nanoseconds since 1970, UTC
	Mono     int64 // nanoseconds since boot
	Name     string
	Hash     string
	Key      string
	Device   string
	ID       string
	Sum      string
	Archive  string
	Location string
	Doubt    string
}

// fields lists what is encoded. A field's index is its tag on disk: append only.
func (f *Fact) fields() [25]any {
	return [...]any{&f.Flags, &f.Op, &f.Stream, &f.Slot, &f.Run, &f.CRC, &f.N, &f.Epoch,
		&f.Start, &f.End, &f.Size, &f.Lost, &f.Gaps, &f.GapBytes, &f.Time, &f.Mono,
		&f.Name, &f.Hash, &f.Key, &f.Device, &f.ID, &f.Sum, &f.Archive, &f.Location, &f.Doubt}
}

const maxText = 8 << 10 // bytes of one text field, and written of all in a fact: a receipt holds them, escaped

// ErrFact says that a fact cannot be written down, since it could not be read
// again: a text in it is too long, or a number too large. The journal is as it was.
var ErrFact = errors.New("fact cannot be written down")

// encode is AppendTo for the journal: it returns ErrFact rather than what
// decodeFact refuses.
func (f *Fact) encode() ([]byte, error) {
	text := 0
	for _, p := range f.fields() {
		if s, ok := p.(*string); ok {
			text += len(*s)
		}
	}
	if text > maxText {
		return nil, fmt.Errorf("%w: %s with texts of %d bytes; at most %d are kept", ErrFact, f.Kind, text, maxText)
	}
	b := f.AppendTo(nil)
	if _, err := decodeFact(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFact, err)
	}
	return b, nil
}

// AppendTo appends the fact's encoding: its kind, then a tag and a varint (or a
// length and bytes) for each field that is not zero.
//
//	kind(1) { tag(1) uvarint | zigzag varint | uvarint length, bytes }*
func (f *Fact) AppendTo(b []byte) []byte {
	b = append(b, byte(f.Kind))
	for tag, p := range f.fields() {
		switch v := p.(type) {
		case *uint8:
			b = appendUint(b, tag, uint64(*v))
		case *Op:
			b = appendUint(b, tag, uint64(*v))
		case *uint32:
			b = appendUint(b, tag, uint64(*v))
		case *uint64:
			b = appendUint(b, tag, *v)
		case *int:
			b = appendUint(b, tag, uint64(*v))
		case *int64:
			if *v != 0 {
				b = binary.AppendVarint(append(b, byte(tag)), *v)
			}
		case *string:
			if *v != "" {
				b = binary.AppendUvarint(append(b, byte(tag)), uint64(len(*v)))
				b = append(b, *v...)
			}
		}
	}
	return b
}

func appendUint(b []byte, tag int, v uint64) []byte {
	if v == 0 {
		return b
	}
	return binary.AppendUvarint(append(b, byte(tag)), v)
}

// decodeFact reads one encoded fact. It fails on anything that AppendTo would
// not have written, naming what and where.
func decodeFact(b []byte) (f Fact, err error) {
	whole := len(b)
	fail := func(what string) (Fact, error) {
		return Fact{}, fmt.Errorf("fact %s: %s at byte %d of %d", f.Kind, what, whole-len(b), whole)
	}
	if len(b) == 0 {
		return fail("is empty")
	}
	f.Kind, b = Kind(b[0]), b[1:]
	if f.Kind == 0 || f.Kind >= kindEnd {
		return fail("is of a kind that this version does not know")
	}
	fields := f.fields()
	for last := -1; len(b) > 0; {
		tag := int(b[0])
		if tag <= last || tag >= len(fields) {
			return fail("has a field that this version does not know")
		}
		last, b = tag, b[1:]
		if v, ok := fields[tag].(*int64); ok {
			x, n := binary.Varint(b)
			if n <= 0 || x == 0 {
				return fail("has a bad number")
			}
			*v, b = x, b[n:]
			continue
		}
		x, n := binary.Uvarint(b)
		if n <= 0 || x == 0 {
			return fail("has a bad number")
		}
		b = b[n:]
		limit := uint64(1)<<32 - 1
		switch v := fields[tag].(type) {
		case *uint8:
			limit, *v = 255, uint8(x)
		case *Op:
			limit, *v = uint64(OpComplete), Op(x)
		case *uint32:
			*v = uint32(x)
		case *int:
			limit, *v = 1<<20, int(x)
		case *uint64:
			limit, *v = x, x
		case *string:
			if limit = maxText; x > limit || x > uint64(len(b)) {
				return fail("has a text that is too long")
			}
			*v, b = string(b[:x]), b[x:]
		}
		if x > limit {
			return fail("has a number that is too large")
		}
	}
	return f, nil
}
