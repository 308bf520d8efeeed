package engine

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/wal"
)

// Receipt is one line of the receipts: a finished object, or, with Dropped set,
// one that was given up, by policy or since flash has lost it. Its JSON names are a contract.
type Receipt struct {
	Stream      string    `json:"stream"`
	Epoch       string    `json:"epoch"`
	Follows     string    `json:"follows,omitempty"` // the stream's epoch before: what is before Start has that one
	Start       int64     `json:"start"`             // stream offsets in bytes
	End         int64     `json:"end"`
	Key         string    `json:"key"`
	Size        int64     `json:"size"`
	Checksum    string    `json:"checksum,omitempty"` // "algorithm:value", of the whole object
	ETag        string    `json:"etag,omitempty"`
	ArchiveID   string    `json:"archive_id,omitempty"`
	Location    string    `json:"location,omitempty"`
	Vault       string    `json:"vault,omitempty"`
	Description string    `json:"description,omitempty"` // what the vault keeps beside the bytes
	Destination string    `json:"destination"`
	FirstTime   time.Time `json:"first_time"`               // when its first byte was captured
	Estimated   bool      `json:"time_estimated,omitempty"` // FirstTime is a guess: the clock was not known
	CompletedAt time.Time `json:"completed_at"`             // when the destination confirmed it
	Gap         int64     `json:"gap,omitempty"`            // bytes known lost just before Start
	GapUnknown  bool      `json:"gap_unknown,omitempty"`
	BegunAgain  int       `json:"begun_again,omitempty"` // how often its upload had expired, and began again
	InDoubt     string    `json:"in_doubt,omitempty"`
	Dropped     string    `json:"dropped,omitempty"` // why; then nothing is archived
}

// receipt writes an object's receipt down, then lets its bytes go. up is nil
// for an object that was dropped.
//
// Order: the line is durable before Freed, and Freed before its slot is reused.
func (e *Engine) receipt(t task, up *wal.Upload) error {
	m := t.upload.Object.Metadata
	line := Receipt{Stream: t.name, Epoch: m["dray-epoch"], Follows: m["dray-follows"], Start: t.object.Start, End: t.object.End, Key: t.upload.Object.Key,
		Size: t.object.Size(), Destination: t.dest.cfg.Name, FirstTime: time.Unix(0, t.object.Time).UTC(), Gap: t.object.Gap, GapUnknown: t.object.GapUnknown, Estimated: t.object.Estimated}
	if up != nil {
		done := up.Done
		line.BegunAgain = up.Resets
		line.Checksum, line.ETag, line.ArchiveID, line.Location = done.Checksum, done.ETag, done.ArchiveID, done.Location
		line.InDoubt, line.CompletedAt = done.InDoubt, time.Unix(0, done.Time).UTC()
		if d, ok := t.dest.to.(transport.Describer); ok {
			if said, err := d.Describe(t.upload.Object); err == nil { // else it could not have begun
				line.Vault, line.Description = said.Vault, said.Text
			}
		}
	} else {
		line.Dropped = "spool is full"
		line.CompletedAt, _ = e.time()
		if t.object.Damaged {
			line.Dropped = "damaged on flash"
		}
	}
	b, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	// The journal may have failed while the receipts did not: what the line says must
	// be known after a power cut, or the object would be sent again and have two.
	if err := e.store.Settle(); err != nil {
		return fmt.Errorf("receipt of %s: %w", line.Key, err)
	}
	if err := e.store.Receipt(b); err != nil {
		return fmt.Errorf("receipt of %s: %w", line.Key, err)
	}
	e.store.Note(wal.Fact{Kind: wal.Freed, Stream: t.id.stream, Start: t.id.start})
	e.announceChange()
	return nil
}

// settleReceipts frees what a power cut caught between its receipt and its
// Freed, so that no object has two receipts.
func settleReceipts(store *wal.Store, stateDir string) error {
	type extent struct {
		stream, epoch string
		start         int64
	}
	open := map[extent]objectID{}
	store.View(func(s *wal.State) {
		for _, st := range s.Streams {
			for i := range st.Objects {
				if o := &st.Objects[i]; o.Dropped || o.Up != nil && o.Up.Done != nil {
					open[extent{st.Name, wal.EpochText(st.EpochOf(o)), o.Start}] = objectID{st.ID, o.Start}
				}
			}
		}
	})
	if len(open) == 0 {
		return nil
	}
	return ReadReceipts(stateDir, func(r Receipt) error {
		if id, ok := open[extent{r.Stream, r.Epoch, r.Start}]; ok {
			store.Note(wal.Fact{Kind: wal.Freed, Stream: id.stream, Start: id.start})
		}
		return nil
	})
}

// ReadReceipts calls fn with each receipt of a state folder, oldest first,
// until fn fails. It only reads, also while an Engine runs on the folder.
// Damaged lines are passed over.
func ReadReceipts(stateDir string, fn func(Receipt) error) error {
	return wal.ReadReceipts(stateDir, decoded(stateDir, fn))
}

// ExportReceipts is ReadReceipts for whoever keeps the receipts elsewhere: once fn
// has had them all and done, which may be nil, has succeeded, it is noted in the
// state folder that old receipts with an archive ID may be removed too.
func ExportReceipts(stateDir string, fn func(Receipt) error, done func() error) error {
	return wal.ExportReceipts(stateDir, decoded(stateDir, fn), done)
}

func decoded(stateDir string, fn func(Receipt) error) func([]byte) error {
	return func(line []byte) error {
		var r Receipt
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("receipts of %s: %w", stateDir, err)
		}
		return fn(r)
	}
}

// precious says that a receipt must not be removed before it was exported:
// without the archive ID there is no way to the archive. So is one that cannot
// be read.
func precious(line []byte) bool {
	var r Receipt
	return json.Unmarshal(line, &r) != nil || r.ArchiveID != ""
}
