package engine

import "time"

// Status is a snapshot of an Engine. Its JSON names are a contract.
type Status struct {
	Device       string              `json:"device"`
	Version      string              `json:"version"`
	Started      time.Time           `json:"started"`
	Now          time.Time           `json:"now"`
	StateDir     string              `json:"state_dir"`
	Clock        ClockStatus         `json:"clock"`
	Spool        SpoolStatus         `json:"spool"`
	Flash        FlashStatus         `json:"flash"`
	Streams      []StreamStatus      `json:"streams"`
	Destinations []DestinationStatus `json:"destinations"`
	Budgets      []BudgetStatus      `json:"budgets,omitempty"`
	// Notes are what an operator should know: what start-up found (damage, files
	// set aside, a clone), and what a destination cannot do. Empty when all is well.
	Notes []string `json:"notes,omitempty"`
}

// SpoolStatus says how full the flash is.
type SpoolStatus struct {
	MaxBytes     int64  `json:"max_bytes"`
	UsedBytes    int64  `json:"used_bytes"` // whole slots that hold bytes still needed
	MadeBytes    int64  `json:"made_bytes"` // slots on flash, used or waiting for reuse
	Full         bool   `json:"full"`
	WrittenBytes int64  `json:"written_bytes"` // to slots, journal and receipts, since start-up
	Syncs        int64  `json:"syncs"`         // of those, since start-up
	LastError    string `json:"last_error,omitempty"`
}

// FlashStatus says how flash is worn, by what this program wrote in the life of
// the state folder. A file system adds some to it, and so does the flash.
type FlashStatus struct {
	WrittenBytes int64 `json:"written_bytes"`
	Syncs        int64 `json:"syncs"`
	PerDay       int64 `json:"bytes_per_day"` // written, in the mean of all runs
	// LifeYears is how long Spool.Endurance lasts at that rate; 0: not known.
	LifeYears float64 `json:"life_years,omitempty"`
}

// StreamStatus is one stream. Offsets are bytes from the stream's beginning.
type StreamStatus struct {
	Name     string `json:"name"`
	Epoch    string `json:"epoch"`
	Appended int64  `json:"appended"` // end of what was read from the peripheral
	Kept     int64  `json:"kept"`     // end of what survives a power cut
	Archived int64  `json:"archived"` // all before it has a durable receipt (or is a counted gap)
	Gaps     int64  `json:"gaps"`     // losses counted
	GapBytes int64  `json:"gap_bytes"`
	Compress string `json:"compress,omitempty"`     // "zstd", "gzip"; empty: bytes are kept as they come
	Plain    int64  `json:"plain_bytes,omitempty"`  // compressed since start-up
	Packed   int64  `json:"packed_bytes,omitempty"` // what those became
	// Malformed counts bytes that the framing could not make a record of.
	Malformed   int64     `json:"malformed"`
	Pending     int64     `json:"pending_objects"` // sealed, not yet archived
	LastRead    time.Time `json:"last_read,omitzero"`
	Source      string    `json:"source,omitempty"`
	SourceState string    `json:"source_state"` // "reading", "waiting: <why>", "finished", "embedded"
	Destination string    `json:"destination"`

	open   int64 // start of the open object; Kept if there is none
	losing int64 // bytes of a gap that is not over
}

// DestinationStatus is one destination.
type DestinationStatus struct {
	Name           string       `json:"name"`
	Link           string       `json:"link"`            // "idle", "up", "poor", "down", "denied", "throttled", "closed", "over budget"
	PendingBytes   int64        `json:"pending_bytes"`   // kept, not yet archived
	PendingObjects int64        `json:"pending_objects"` // sealed, not yet archived
	InFlight       int          `json:"in_flight"`
	LastError      string       `json:"last_error,omitempty"`
	NextTry        time.Time    `json:"next_try,omitzero"`
	LastSuccess    time.Time    `json:"last_success,omitzero"`
	SentBytes      int64        `json:"sent_bytes"`     // of part and object bodies, since start-up
	ArchivedBytes  int64        `json:"archived_bytes"` // in finished objects, since start-up
	Wire           LinkCounters `json:"wire"`
	// Plan says which sizes were chosen to fit the link, and why; empty where they
	// are as configured.
	Plan string `json:"plan,omitempty"`
}

// BudgetStatus is what the links through some interfaces have cost.
type BudgetStatus struct {
	Interface string `json:"interface"` // pattern
	Reserve   int    `json:"reserve"`   // percent left to streams of priority high
	Day       *Spent `json:"day,omitempty"`
	Month     *Spent `json:"month,omitempty"`
}

// Spent is what was used of a limit, in bytes.
type Spent struct {
	Bytes int64 `json:"bytes"`
	Limit int64 `json:"limit"`
}
