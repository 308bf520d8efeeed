package engine

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/seed-7270d448/dray/wal"
)

// The table of README.md says what a config without a key means, and what may
// be written there. It must be what withDefaults and Check do.
func TestREADMEHasTheDefaultsAndTheLimits(t *testing.T) {
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(b)), " ")
	c := Config{
		Streams:      []Stream{{Destination: "a"}},
		Destinations: []Destination{{Name: "a", To: limited{limits: s3Limits}}},
	}.withDefaults()
	s := c.Streams[0]
	asYAML := func(n int64) string { return strings.ReplaceAll(sizeText(n), " ", "") }
	for _, want := range []string{
		fmt.Sprintf("| `device` | the host name | at most %d bytes |", maxDevice),
		fmt.Sprintf("| `workers` | `%d` | `1` to `16` |", c.Workers),
		fmt.Sprintf("| `spool.max_bytes` | `%s` | at least `%s` a stream |", asYAML(c.Spool.MaxBytes), asYAML(minStreamSlots*slotBytes)),
		fmt.Sprintf("| `spool.min_free` | `%s` |", asYAML(c.Spool.MinFree)),
		fmt.Sprintf("| `spool.when_full` | `%s` | `%s`, `%s`, `%s` |", c.Spool.WhenFull, DropOldest, DropNewest, Block),
		fmt.Sprintf("| `receipts.max_bytes` | `%s` | at least `%s` |", asYAML(c.Receipts.MaxBytes), asYAML(minReceipts)),
		fmt.Sprintf("| `streams.sync.interval` | `%.0fs` | `%v` to `%.0fh` |", s.Sync.Interval.Seconds(), minSyncInterval, maxSyncInterval.Hours()),
		fmt.Sprintf("| `streams.sync.bytes` | `%s` | `%s` to `%s` |", asYAML(s.Sync.Bytes), asYAML(minSyncBytes), asYAML(maxSyncBytes)),
		fmt.Sprintf("| `streams.object.max_bytes` | `%s` | `%s` to the spool less `%s` |", asYAML(s.Object.MaxBytes), asYAML(minObjectBytes), asYAML(2*slotBytes)),
		fmt.Sprintf("| `streams.object.max_age` | `%.0fh` | the sync interval to `%.0fh` |", s.Object.MaxAge.Hours(), maxObjectAge.Hours()),
		fmt.Sprintf("| `streams.priority` | `%s` | `%s`, `%s`, `%s` |", s.Priority, High, Normal, Low),
		fmt.Sprintf("| `streams.key` | `%s` | at most %d bytes, %d between slashes |", s.Key, maxKey, maxKeyName),
		fmt.Sprintf("A record is at most `max_record`, %s if asked for.", sizeText(wal.MaxRecord)),
		fmt.Sprintf("slots of %s,", sizeText(slotBytes)),
		fmt.Sprintf("An object is %s to the spool less %s", sizeText(minObjectBytes), sizeText(2*slotBytes)),
		fmt.Sprintf("%d bytes of `a-z 0-9 - _`", maxName),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("README.md lacks %q", want)
		}
	}
}
