package hal

// Framing says how a byte stream is cut into records. The zero value is raw.
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
