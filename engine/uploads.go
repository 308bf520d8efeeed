package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/seed-7270d448/dray/transport"
)

// Who an unfinished upload belongs to.
const (
	OwnerJournal = "journal" // goes on, or is settled by the daemon
	OwnerNobody  = "nobody"  // left behind by this state folder: it can be ended
	OwnerPast    = "past"    // of a former epoch, which a cloned device may still use
)

// LeftUpload is an unfinished upload of this device. Its JSON names are a contract.
type LeftUpload struct {
	Destination string    `json:"destination"`
	Key         string    `json:"key"`
	UploadID    string    `json:"upload_id"`
	Stream      string    `json:"stream,omitempty"` // empty if the key is of a template that is not configured any more
	Epoch       string    `json:"epoch"`
	Begun       time.Time `json:"begun,omitzero"`
	Owner       string    `json:"owner"`
}

// maxLeft bounds how many uploads of one device are looked at.
const maxLeft = 100_000

// Uploads lists the unfinished uploads of this state folder at the destinations
// of cfg, or at the one named only. Ours are those whose key holds one of the
// state folder's epochs, which no other device makes; others are never
// returned. own is asked after each list, never before: an upload that the
// journal learns of later than that was not in the list. A destination that
// cannot list is an error, joined with those of others; what was found is
// returned all the same.
func Uploads(ctx context.Context, cfg Config, only string, own func(context.Context) (Ownership, error)) ([]LeftUpload, error) {
	cfg = cfg.withDefaults()
	var (
		all  []LeftUpload
		errs []error
	)
	archived, err := receiptEpochs(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	for _, d := range cfg.Destinations {
		if only != "" && d.Name != only {
			continue
		}
		list, err := uploadsAt(ctx, cfg, d, archived, own)
		all = append(all, list...)
		if err != nil {
			errs = append(errs, fmt.Errorf("destination %s: %w", d.Name, err))
		}
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := &all[i], &all[j]
		return cmp.Or(cmp.Compare(a.Destination, b.Destination), cmp.Compare(a.Key, b.Key), a.Begun.Compare(b.Begun), cmp.Compare(a.UploadID, b.UploadID)) < 0
	})
	return all, errors.Join(errs...)
}

// receiptEpochs returns the epochs that the receipts name: they know of those
// whose journal was lost.
func receiptEpochs(stateDir string) ([]string, error) {
	var epochs []string
	err := ReadReceipts(stateDir, func(r Receipt) error {
		if len(r.Epoch) == 16 && !slices.Contains(epochs, r.Epoch) && len(epochs) < 1000 {
			epochs = append(epochs, r.Epoch)
		}
		return nil
	})
	return epochs, err
}

func uploadsAt(ctx context.Context, cfg Config, d Destination, archived []string, own func(context.Context) (Ownership, error)) ([]LeftUpload, error) {
	c, ok := d.To.(transport.Catalogue)
	if !ok {
		return nil, errors.New("it cannot list uploads")
	}
	before, err := own(ctx) // for its epochs, so that others' uploads take no memory
	if err != nil {
		return nil, err
	}
	before.Past = append(archived[:len(archived):len(archived)], before.Past...)
	templates := templatesFor(cfg, d.Name)
	found := map[string]LeftUpload{} // by ID and key: a list of several prefixes may repeat itself
	for _, prefix := range prefixes(templates, cfg.Device) {
		err := ask(ctx, func() error {
			return c.Uploads(ctx, prefix, func(u transport.Upload, begun time.Time) error {
				epoch := before.epochIn(u.Object.Key)
				if epoch == "" {
					return nil
				}
				if len(found) == maxLeft {
					return fmt.Errorf("more than %d unfinished uploads of this device", maxLeft)
				}
				left := LeftUpload{Destination: d.Name, Key: u.Object.Key, UploadID: u.ID, Epoch: epoch, Begun: begun}
				for _, t := range templates {
					if t.key.match(cfg.Device, t.stream, left.Key) {
						left.Stream = t.stream
						break
					}
				}
				found[u.ID+"\x00"+left.Key] = left
				return nil
			})
		})
		if err != nil {
			return nil, err
		}
	}
	after, err := own(ctx)
	if err != nil {
		return nil, err
	}
	owners := after.owners(d.Name)
	var list []LeftUpload
	for _, left := range found {
		left.Owner = owners(left.Key, left.UploadID, left.Epoch)
		list = append(list, left)
	}
	return list, nil
}

// epochIn returns which of the state folder's epochs the key holds, "" if none.
// Sixteen random digits are not in a key by chance.
func (own Ownership) epochIn(key string) string {
	for _, e := range append([]string{own.Epoch}, own.Past...) {
		if strings.Contains(key, e) {
			return e
		}
	}
	return ""
}

// owners returns what says whom an upload at the destination belongs to.
func (own Ownership) owners(destination string) func(key, id, epoch string) string {
	owned := map[string][]string{} // upload IDs by key; "" is every one
	for _, u := range own.Uploads {
		if u.Destination == destination {
			owned[u.Key] = append(owned[u.Key], u.UploadID)
		}
	}
	return func(key, id, epoch string) string {
		switch ids := owned[key]; {
		case slices.Contains(ids, id), slices.Contains(ids, ""):
			return OwnerJournal
		case epoch != own.Epoch:
			return OwnerPast
		}
		return OwnerNobody
	}
}

// AbortUpload ends an upload that nobody owns; with past also one of a former
// epoch. Any other is refused: ask Uploads again, for what was nobody's stays so.
func AbortUpload(ctx context.Context, cfg Config, u LeftUpload, past bool) error {
	if u.Owner != OwnerNobody && !(past && u.Owner == OwnerPast) {
		return fmt.Errorf("abort %s: it belongs to %s", u.Key, u.Owner)
	}
	d := cfg.destination(u.Destination)
	if d == nil || d.To == nil {
		return fmt.Errorf("abort %s: there is no destination %q", u.Key, u.Destination)
	}
	err := ask(ctx, func() error {
		return d.To.Abort(ctx, transport.Upload{ID: u.UploadID, Object: transport.Object{Key: u.Key, Size: -1}})
	})
	if transport.KindOf(err) == transport.Gone {
		return nil
	}
	return err
}

// A streamKey is a key template and the stream that it is for.
type streamKey struct {
	stream string
	key    keyTemplate
}

// templatesFor returns the templates whose keys may be at the destination: all
// that are configured, for a stream may have gone elsewhere before, and the default.
func templatesFor(cfg Config, destination string) []streamKey {
	var here, elsewhere []streamKey
	for _, s := range cfg.Streams {
		if k, err := parseKey(s.Key); err == nil {
			if s.Destination == destination {
				here = append(here, streamKey{s.Name, k})
			} else {
				elsewhere = append(elsewhere, streamKey{s.Name, k})
			}
		}
	}
	return append(append(here, elsewhere...), streamKey{key: defaultKeys[""]})
}

// prefixes returns what the keys of the templates begin with, none beginning
// with another.
func prefixes(templates []streamKey, device string) []string {
	var all []string
	for _, t := range templates {
		all = append(all, t.key.prefix(device))
	}
	slices.Sort(all)
	least := all[:0]
	for _, p := range all {
		if n := len(least); n == 0 || !strings.HasPrefix(p, least[n-1]) {
			least = append(least, p)
		}
	}
	return least
}

// prefix returns what every key of the device begins with, whichever its stream.
func (k keyTemplate) prefix(device string) string {
	var b strings.Builder
	for _, p := range k.parts {
		switch p.word {
		case "":
			b.WriteString(p.text)
		case "device":
			b.WriteString(keyDevice(device))
		default:
			return b.String()
		}
	}
	return b.String()
}

// match says whether the template may have made key for the stream.
func (k keyTemplate) match(device, stream, key string) bool {
	return stream != "" && (keysCanMeet(k.pattern(device, stream), key) || keysCanMeet(k.ofSlice().pattern(device, stream), key))
}
