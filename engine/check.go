package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/seed-7270d448/dray/hal"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/wal"
)

// Defaults and bounds of a Config; sizes are bytes.
const (
	slotBytes       = 8 << 20 // of a spool slot
	minStreamSlots  = 3       // one filling, one being sent, one free to roll into
	defaultMaxBytes = 2 << 30
	defaultMinFree  = 256 << 20

	maxName   = 64
	maxDevice = 128

	minReceipts     = 16 << 20
	minSyncInterval = 10 * time.Millisecond
	maxSyncInterval = time.Hour
	minSyncBytes    = 4 << 10
	maxSyncBytes    = 1 << 20

	minObjectBytes = 1 << 10
	maxObjectAge   = 31 * 24 * time.Hour
	maxClockWait   = 24 * time.Hour
)

// ConfigError is one thing that is wrong with a Config.
type ConfigError struct {
	Field   string // its path in YAML: "streams[0].object.part_size"
	Problem string // what is wrong, with the value and the bound that it breaks
	Hint    string // what to do about it
}

// Error returns "field: problem (hint)".
func (e *ConfigError) Error() string {
	s := e.Problem
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Check says all that is wrong with cfg: nil, or the errors.Join of one
// *ConfigError for each problem. It looks at the disk of the state folder, but
// writes nothing and starts nothing. New refuses what Check refuses.
func Check(cfg Config) error {
	c := checker{cfg: cfg.withDefaults()}
	c.device()
	c.destinations()
	c.spool()
	c.streams()
	c.cost()
	c.stateDir()
	if w := c.cfg.ClockWait; w > maxClockWait {
		c.add("clock.wait", fmt.Sprintf("%v", w), fmt.Sprintf("use at most %v", maxClockWait))
	}
	if n := c.cfg.Workers; n < 1 || n > 16 {
		c.add("workers", fmt.Sprintf("%d parts at once", n), "use 1 to 16, or leave it out for 4")
	}
	return errors.Join(c.problems...)
}

// withDefaults returns c with each zero value that has a default replaced by
// it. What c refers to is not changed. It does not fail: Check finds what does
// not fit.
func (c Config) withDefaults() Config {
	set(&c.Version, "dev")
	set(&c.Workers, 4)
	set(&c.Spool.MaxBytes, defaultMaxBytes)
	set(&c.Spool.MinFree, defaultMinFree)
	set(&c.Spool.WhenFull, DropOldest)
	set(&c.Receipts.MaxBytes, 64<<20)
	set(&c.ClockWait, 10*time.Minute)
	if c.Device == "" {
		c.Device, _ = os.Hostname() // still empty without one, which Check reports
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Streams = append([]Stream(nil), c.Streams...)
	for i := range c.Streams {
		s := &c.Streams[i]
		set(&s.Compress, Plain)
		set(&s.Key, s.Compress.defaultKey())
		set(&s.Priority, Normal)
		set(&s.Sync.Interval, time.Second)
		set(&s.Sync.Bytes, 256<<10)
		set(&s.Object.MaxBytes, 64<<20)
		set(&s.Object.MaxAge, time.Hour)
		if d := c.destination(s.Destination); d != nil && d.To != nil && s.Object.PartSize == 0 {
			s.Object.PartSize = partSize(d.To.Limits(), s.Object.MaxBytes)
		}
	}
	return c
}

// set gives *p the default if it has none of its own.
func set[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

// destination returns the destination of that name, nil if there is none.
func (c Config) destination(name string) *Destination {
	for i := range c.Destinations {
		if c.Destinations[i].Name == name {
			return &c.Destinations[i]
		}
	}
	return nil
}

// partSize returns the size that the destination likes, raised until an object
// of maxBytes is no more parts than it takes.
func partSize(l transport.Limits, maxBytes int64) int64 {
	size := l.PartSize
	if size <= 0 || l.MaxParts <= 0 || maxBytes <= 0 {
		return size
	}
	least := (maxBytes-1)/int64(l.MaxParts) + 1
	if least <= size {
		return size
	}
	if !l.PowerOf2 {
		const mib = 1 << 20
		return min(max((least-1)/mib+1, 1)*mib, l.MaxPart)
	}
	for size < least && size < l.MaxPart {
		size *= 2
	}
	return size
}

// A checker gathers the problems of one Config, its defaults filled in.
type checker struct {
	cfg      Config
	problems []error
}

func (c *checker) add(field, problem, hint string) {
	c.problems = append(c.problems, &ConfigError{Field: field, Problem: problem, Hint: hint})
}

// addAt adds err, a *ConfigError without a Field, at field.
func (c *checker) addAt(field string, err error) {
	var ce *ConfigError
	switch {
	case err == nil:
	case errors.As(err, &ce):
		c.add(field, ce.Problem, ce.Hint)
	default:
		c.add(field, err.Error(), "")
	}
}

func (c *checker) device() {
	d := c.cfg.Device
	switch {
	case d == "":
		c.add("device", "no name, and this machine has no host name", "name the device, for example gw-17")
	case len(d) > maxDevice:
		c.add("device", fmt.Sprintf("a name of %d bytes", len(d)), fmt.Sprintf("use at most %d bytes", maxDevice))
	case !utf8.ValidString(d) || strings.ContainsFunc(d, unicode.IsControl):
		c.add("device", fmt.Sprintf("name %q is not plain text", d), "use UTF-8 without control characters")
	}
}

// name checks the name of a stream or destination against those seen before.
func (c *checker) name(field, name string, seen map[string]string) {
	valid := func(r rune) bool {
		return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_'
	}
	switch first, taken := seen[name]; {
	case name == "":
		c.add(field, "no name", "give it one of lower-case letters, digits, - and _")
	case len(name) > maxName:
		c.add(field, fmt.Sprintf("a name of %d bytes", len(name)), fmt.Sprintf("use at most %d", maxName))
	case strings.ContainsFunc(name, func(r rune) bool { return !valid(r) }):
		c.add(field, fmt.Sprintf("name %q", name), "use lower-case letters, digits, - and _ only")
	case taken:
		c.add(field, fmt.Sprintf("name %q is taken by %s", name, first), "give each its own name")
	default:
		seen[name] = strings.TrimSuffix(field, ".name")
	}
}

func (c *checker) destinations() {
	if len(c.cfg.Destinations) == 0 {
		c.add("destinations", "none", "name at least one destination to archive to")
	}
	seen := map[string]string{}
	for i, d := range c.cfg.Destinations {
		at := fmt.Sprintf("destinations[%d]", i)
		c.name(at+".name", d.Name, seen)
		if d.To == nil {
			c.add(at, "nothing to send to", "set Destination.To, for example to what local.New returns")
		}
	}
}

func (c *checker) spool() {
	s, slots := c.cfg.Spool, int64(minStreamSlots*max(len(c.cfg.Streams), 1))
	if least := slots * slotBytes; s.MaxBytes < least {
		c.add("spool.max_bytes", fmt.Sprintf("%s is too small for %d streams", sizeText(s.MaxBytes), len(c.cfg.Streams)),
			fmt.Sprintf("use at least %s: three slots of 8 MiB for each stream", sizeText(least)))
	}
	if n := c.cfg.Receipts.MaxBytes; n < minReceipts {
		c.add("receipts.max_bytes", sizeText(n)+" is too small", "use at least "+sizeText(minReceipts)+": they are removed by files of 4 MiB")
	}
	switch s.WhenFull {
	case DropOldest, DropNewest:
	case Block:
		for _, st := range c.cfg.Streams {
			if st.Source != nil && !st.Source.Waits() {
				c.add("spool.when_full", fmt.Sprintf("block cannot hold back stream %q: %s does not wait and would drop bytes by itself", st.Name, st.Source.Name()),
					"use drop_oldest or drop_newest, which count what they drop")
			}
		}
	default:
		c.add("spool.when_full", fmt.Sprintf("%q is not known", s.WhenFull), "use block, drop_oldest or drop_newest")
	}
}

func (c *checker) streams() {
	if len(c.cfg.Streams) == 0 {
		c.add("streams", "none", "name at least one stream to carry")
	}
	seen := map[string]string{}
	keys := make([]*keyTemplate, len(c.cfg.Streams))
	for i, s := range c.cfg.Streams {
		at := fmt.Sprintf("streams[%d]", i)
		c.name(at+".name", s.Name, seen)
		if s.Source != nil {
			c.framing(at+".framing", s.Framing)
		}
		if !slices.Contains([]Priority{High, Normal, Low}, s.Priority) {
			c.add(at+".priority", fmt.Sprintf("%q is not known", s.Priority), "use high, normal or low")
		}
		c.sync(at+".sync", s.Sync)
		c.object(at+".object", s)

		if key, err := parseKey(s.Key); err != nil {
			c.addAt(at+".key", err)
		} else {
			c.addAt(at+".key", key.checkSize(c.cfg.Device, s.Name))
			c.description(at+".key", key, s)
			keys[i] = &key
			for j, other := range c.cfg.Streams[:i] {
				if other.Destination == s.Destination && other.Name != s.Name && keys[j] != nil && key.canMeet(c.cfg.Device, s.Name, *keys[j], other.Name) {
					c.add(at+".key", fmt.Sprintf("an object of stream %q could have the key of one of stream %q", s.Name, other.Name), "put {stream} into both templates")
				}
			}
		}
	}
}

// description checks that what the destination keeps in place of key and
// metadata can hold the longest there may be.
func (c *checker) description(at string, key keyTemplate, s Stream) {
	d := c.cfg.destination(s.Destination)
	if d == nil {
		return
	}
	to, ok := d.To.(transport.Describer)
	if !ok {
		return
	}
	const most = math.MaxInt64
	o := wal.Object{Start: most, Gap: most, Time: 999_999_999, GapUnknown: true, Estimated: true, Slice: true, Follows: true}
	_, err := to.Describe(transport.Object{
		Key:      key.ofSlice().Execute(c.cfg.Device, s.Name, wal.EpochText(1), most, most, time.Unix(0, 0)),
		Metadata: metadata(c.cfg.Device, &wal.StreamState{Name: s.Name, Epoch: 1}, 1, &o),
	})
	c.addAt(at, err)
}

func (c *checker) framing(at string, f hal.Framing) {
	if err := f.Check(); err != nil {
		c.add(at, err.Error(), "")
	}
}

func (c *checker) sync(at string, s Sync) {
	if s.Interval < minSyncInterval || s.Interval > maxSyncInterval {
		c.add(at+".interval", fmt.Sprintf("%v between syncs", s.Interval), fmt.Sprintf("use %v to 1h: a power cut takes up to one interval", minSyncInterval))
	}
	if s.Bytes < minSyncBytes || s.Bytes > maxSyncBytes {
		c.add(at+".bytes", sizeText(s.Bytes)+" between syncs", "use 4 KiB to 1 MiB: they are held in memory until the sync returns")
	}
}

func (c *checker) object(at string, s Stream) {
	o := s.Object
	switch {
	case o.MaxBytes < minObjectBytes:
		c.add(at+".max_bytes", sizeText(o.MaxBytes)+" is too small", "use at least 1 KiB, better some MiB: each object costs requests")
	case c.cfg.Spool.MaxBytes >= minStreamSlots*slotBytes && o.MaxBytes > c.cfg.Spool.MaxBytes-2*slotBytes:
		c.add(at+".max_bytes", fmt.Sprintf("an object of %s does not fit into the spool of %s, which holds it until it is archived", sizeText(o.MaxBytes), sizeText(c.cfg.Spool.MaxBytes)),
			fmt.Sprintf("use at most %s, or raise spool.max_bytes", sizeText(c.cfg.Spool.MaxBytes-2*slotBytes)))
	}
	if o.MaxAge < s.Sync.Interval || o.MaxAge > maxObjectAge {
		c.add(at+".max_age", fmt.Sprintf("objects of %v", o.MaxAge), "use at least the sync interval and at most 744h (31 days)")
	}
	if o.MaxIdle != 0 && (o.MaxIdle < s.Sync.Interval || o.MaxIdle > o.MaxAge) {
		c.add(at+".max_idle", fmt.Sprintf("objects end after %v without a byte", o.MaxIdle), "use at least the sync interval and at most object.max_age, or leave it out")
	}

	switch d := c.cfg.destination(s.Destination); {
	case s.Destination == "":
		c.add(strings.TrimSuffix(at, ".object")+".destination", "none", "name one of the destinations"+c.known())
	case d == nil:
		c.add(strings.TrimSuffix(at, ".object")+".destination", fmt.Sprintf("there is no destination %q", s.Destination), "name one of the destinations"+c.known())
	case d.To != nil:
		c.parts(at, o, d.To.Limits())
	}
}

// known returns the names of the destinations for a hint.
func (c *checker) known() string {
	var names []string
	for _, d := range c.cfg.Destinations {
		if d.Name != "" {
			names = append(names, d.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ": " + strings.Join(names, ", ")
}

// parts checks the part and object size against what the destination takes.
func (c *checker) parts(at string, o Object, l transport.Limits) {
	at += ".part_size"
	if l.MinPart < 1 || l.MaxPart < l.MinPart || l.MaxParts < 1 {
		c.add(at, fmt.Sprintf("the destination takes no part at all: %d parts of %d to %d bytes", l.MaxParts, l.MinPart, l.MaxPart), "this is a mistake in its Limits")
		return
	}
	size := o.PartSize
	if size < l.MinPart || size > l.MaxPart {
		c.add(at, fmt.Sprintf("the destination does not take parts of %s", sizeText(size)), fmt.Sprintf("use %s to %s", sizeText(l.MinPart), sizeText(l.MaxPart)))
		return
	}
	if n := size / l.MinPart; l.PowerOf2 && (size%l.MinPart != 0 || n&(n-1) != 0) {
		c.add(at, fmt.Sprintf("the destination does not take parts of %s", sizeText(size)),
			fmt.Sprintf("use %s, or that times a power of two", sizeText(l.MinPart)))
		return
	}
	// By division: size * MaxParts may not fit into 63 bits.
	if o.MaxBytes > 0 && (o.MaxBytes-1)/size+1 > int64(l.MaxParts) {
		fit := partSize(l, o.MaxBytes)
		hint := fmt.Sprintf("use parts of at least %s, or a smaller object.max_bytes", sizeText(fit))
		if (o.MaxBytes-1)/fit+1 > int64(l.MaxParts) {
			hint = "use a smaller object.max_bytes"
		}
		c.add(at, fmt.Sprintf("an object of %s would be more than %d parts of %s", sizeText(o.MaxBytes), l.MaxParts, sizeText(size)), hint)
	}
	if l.MaxObject > 0 && o.MaxBytes > l.MaxObject {
		c.add(strings.TrimSuffix(at, "part_size")+"max_bytes", "the destination does not take objects of "+sizeText(o.MaxBytes), "use at most "+sizeText(l.MaxObject))
	}
}

// sizeText returns n bytes as a person would write them: "8 MiB", "1.5 GiB".
func sizeText(n int64) string {
	const units = "KMGTPE"
	if n < 1<<10 && n > -1<<10 {
		return fmt.Sprintf("%d bytes", n)
	}
	f, i := float64(n)/(1<<10), 0
	for ; (f >= 1<<10 || f <= -1<<10) && i < len(units)-1; i++ {
		f /= 1 << 10
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " " + units[i:i+1] + "iB"
}
