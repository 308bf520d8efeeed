package demo

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"github.com/seed-7270d448/dray/engine"
)

// readArchive lays the archived objects end to end, in the order of their
// receipts' stream offsets, and says how many there are. Each must have the
// size of its receipt and begin no earlier than the one before it ended.
func readArchive(dir string) (data []byte, objects int, err error) {
	var receipts []engine.Receipt
	err = engine.ReadReceipts(filepath.Join(dir, stateName), func(r engine.Receipt) error {
		if r.Dropped != "" {
			return fmt.Errorf("object %s was dropped: %s", r.Key, r.Dropped)
		}
		receipts = append(receipts, r)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	sort.Slice(receipts, func(i, j int) bool { return receipts[i].Start < receipts[j].Start })
	end := int64(0)
	for _, r := range receipts {
		if r.Start < end {
			return nil, 0, fmt.Errorf("object %s begins at %d, the one before it ends at %d", r.Key, r.Start, end)
		}
		end = r.End
		object, err := os.ReadFile(filepath.Join(dir, archiveName, filepath.FromSlash(r.Key)))
		if err != nil {
			return nil, 0, err
		}
		if int64(len(object)) != r.Size {
			return nil, 0, fmt.Errorf("object %s has %d bytes, its receipt says %d", r.Key, len(object), r.Size)
		}
		data = append(data, object...)
	}
	return data, len(receipts), nil
}

// A cut is the one run of bytes that an archive lacks. Where the bytes on both
// sides look alike it cannot be placed exactly: it begins at From or up to
// Slack bytes before it, and ends as much before To.
type cut struct{ From, To, Slack int }

// compare says what archived lacks of sent. Anything but one run left out, a
// byte more, a byte twice, a byte changed, is an error.
func compare(sent, archived []byte) (cut, error) {
	same := 0
	for same < min(len(sent), len(archived)) && sent[same] == archived[same] {
		same++
	}
	rest := archived[same:]
	c := cut{From: same, To: len(sent) - len(rest)}
	if c.To < c.From || !bytes.Equal(sent[c.To:], rest) {
		return cut{}, fmt.Errorf("the archive differs from what was sent, from byte %d on, by more than one loss", same)
	}
	for c.To > c.From && c.Slack < c.From && sent[c.From-c.Slack-1] == sent[c.To-c.Slack-1] {
		c.Slack++
	}
	return c, nil
}

// sentences counts the lines of sent that archived does not hold whole, and the
// lines of archived that are only part of a sentence.
func sentences(sent, archived []byte) (all, missing, torn int) {
	have := map[string]bool{}
	for line := range bytes.Lines(archived) {
		have[string(line)] = true
	}
	whole := map[string]bool{}
	for line := range bytes.Lines(sent) {
		all++
		whole[string(line)] = true
		if !have[string(line)] {
			missing++
		}
	}
	for line := range have {
		if !whole[line] {
			torn++
		}
	}
	return all, missing, torn
}
