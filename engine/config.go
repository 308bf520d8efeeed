package engine

import (
	"context"
	"log/slog"
	"time"

	"github.com/seed-7270d448/dray/hal"
	"github.com/seed-7270d448/dray/transport"
)

// Config is all that an Engine needs to know. Zero values mean the defaults
// named beside the fields; sizes are bytes.
type Config struct {
	StateDir string // folder that holds everything durable; made if absent, one engine at a time
	Device   string // this device's name, in keys and metadata; default: the host name
	Version  string // of the embedding program, for status; default "dev"

	Spool        Spool
	Receipts     Receipts
	Streams      []Stream
	Destinations []Destination

	// ClockWait bounds how long objects wait, from the boot on, for a clock that can
	// be believed before they go out with an estimate of when they were captured.
	ClockWait time.Duration // default 10 min; negative: not at all

	// Drain makes Run return once every source has finished and everything is archived.
	Drain bool

	// Meter, if set, is the one that the links were given; its budgets hold for all
	// of them together.
	Meter *Meter
	// Network, if set, is run by Run until ctx is done, and calls changed whenever
	// interfaces, addresses or routes have changed: what waits for a link is tried
	// at once then.
	Network func(ctx context.Context, changed func())

	Workers int          // parts in flight over all destinations, beside one more for streams of priority High; default 4, at most 16
	Log     *slog.Logger // default: discard
}

// Spool bounds what is kept on flash.
type Spool struct {
	MaxBytes int64    // of payload slots; default 2 GiB, at least three slots (24 MiB) for each stream
	MinFree  int64    // leave this much of the file system to others; default 256 MiB; negative: none
	WhenFull WhenFull // default DropOldest
	// Endurance is how many bytes may be written to the flash in its life, as its
	// data sheet says (TBW); only for FlashStatus. Default 0: not known.
	Endurance int64
}

// Receipts bounds how many receipts are kept on flash.
type Receipts struct {
	// MaxBytes of all receipts, beyond which the oldest are removed, by files of 4
	// MiB; default 64 MiB, at least 16 MiB. Those with an archive ID stay until they
	// were exported (ExportReceipts), for without it the archive is lost.
	MaxBytes int64
}

// WhenFull says what gives way when the spool is full.
type WhenFull string

// The policies for a full spool. What is dropped is a counted gap.
const (
	Block      WhenFull = "block"       // make the source wait; only for sources that can
	DropOldest WhenFull = "drop_oldest" // whole objects that are not in doubt, of the lowest priority first, oldest first
	DropNewest WhenFull = "drop_newest" // what arrives
)

// Priority says which of the streams matters more, where not all can be served.
type Priority string

// The priorities of a stream.
const (
	High   Priority = "high"
	Normal Priority = "normal"
	Low    Priority = "low"
)

// Rank orders priorities: the more a stream matters, the greater. A name that is
// not known counts as Normal.
func (p Priority) Rank() int {
	switch p {
	case High:
		return 1
	case Low:
		return -1
	}
	return 0
}

// Stream says where bytes come from, how they become objects, and where those go.
type Stream struct {
	Name    string      // lower-case letters, digits, '-', '_'; unique; at most 64 bytes
	Source  hal.Source  // nil: the embedding program calls Engine.Append
	Framing hal.Framing // ignored without a Source
	// Compress says how bytes are compressed before they are kept; offsets, sizes
	// and bounds then count compressed bytes. Each sync ends a zstd frame or gzip
	// member, as do each 64 KiB: what is kept, and any objects put end to end, can be
	// decompressed. Default Plain.
	Compress Compress
	Sync     Sync
	Object   Object
	// Key is the template of object keys. It must hold {epoch} and {start};
	// {device} {stream} {yyyy} {mm} {dd} {hh} are also known, the
	// time being that of capture, in UTC.
	Key         string // default DefaultKey, with .gz or .zst behind it if Compress says so
	Destination string // name of a Destination
	// Priority says whose objects go first, which may use what budgets hold in
	// reserve, and whose give way last when the spool is full.
	Priority Priority // default Normal
	Order    Order    // of its objects on their way to the destination; default Oldest
}

// Order says which objects of a stream go first.
type Order string

// The orders of objects.
const (
	Oldest Order = "oldest"
	Newest Order = "newest" // what is new matters more than what has waited
)

// DefaultKey is the key template of a stream that names none.
const DefaultKey = "{device}/{stream}/{yyyy}/{mm}/{dd}/{stream}-{epoch}-{start}.log"

// Sync bounds what a power cut can take: the bytes of one interval.
type Sync struct {
	Interval time.Duration // default 1 s
	Bytes    int64         // default 256 KiB
}

// Object bounds an object. It ends at the first record that would break a bound.
type Object struct {
	MaxBytes int64         // default 64 MiB
	MaxAge   time.Duration // since its first byte; default 1 h
	MaxIdle  time.Duration // since its last byte; default 0: never
	PartSize int64         // default: what the destination likes
}

// Destination is an archive by name.
type Destination struct {
	Name string
	To   transport.Destination
	// Clock, if set, is asked for the time that the service said last. It must be
	// the service's beyond doubt: said by one whose certificate was good.
	Clock func() ServerClock
	// TellTime, if set, is given what to ask for the time, by all that is known of
	// it: a wall clock that is years wrong finds no certificate valid.
	TellTime func(now func() time.Time)
	// Link, if set, is asked for the state of the wire, for Status, and to fit
	// sizes to what it carries between two failures. Safe for concurrent use.
	Link func() LinkCounters
	// Route, if set, names the network interface that the link goes through, empty
	// if that is not known. Budgets hold only for destinations that have it.
	Route   func() string
	Windows Windows // when it may be used; default: always
}

// LinkCounters counts what crossed the link to one destination since start-up.
type LinkCounters struct {
	BytesSent     int64 `json:"bytes_sent"`
	BytesReceived int64 `json:"bytes_received"`
	Requests      int64 `json:"requests"`
	Connections   int64 `json:"connections"`
	Stalls        int64 `json:"stalls"`
	// Broken counts connections that failed while a request used them, BrokenBytes
	// what those had carried, both ways, as far as the far side acknowledged it.
	// The sizes of parts and objects are planned from the two.
	Broken      int64 `json:"broken"`
	BrokenBytes int64 `json:"broken_bytes"`
	Handshakes  int64 `json:"handshakes"` // of TLS
	Resumed     int64 `json:"resumed"`    // of those, the ones that went on with an earlier session
	Changes     int64 `json:"changes"`    // connections ended because the network changed under them
	CostBytes   int64 `json:"cost_bytes"` // what closed connections cost: IP packets both ways, retransmissions included
}
