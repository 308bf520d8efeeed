package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/seed-7270d448/dray/build/lab/powerfs"
)

// Parts of names that differ from run to run.
var drawnNames = regexp.MustCompile(`[0-9a-f]{16}-|[0-9a-f]{32}-(put-)?[0-9A-Z]{26}|meta/.*`)

// difference says what a cut took: of each file that processes saw, and that was
// found, the name, the length and the sectors that are not as they were. Two
// cuts with the same difference at the same operation left the same state.
func difference(seen, found []powerfs.File) string {
	had := map[string]powerfs.File{}
	for _, f := range seen {
		had[f.Path] = f
	}
	var b strings.Builder
	for _, f := range found {
		old, ok := had[f.Path]
		delete(had, f.Path)
		if ok && bytes.Equal(old.Data, f.Data) {
			continue
		}
		fmt.Fprintf(&b, "\n%s %v %d", drawnNames.ReplaceAllString(f.Path, "?"), ok, len(f.Data)-len(old.Data))
		for at := 0; at < len(f.Data); at += 512 {
			end := min(at+512, len(f.Data))
			if end > len(old.Data) || !bytes.Equal(f.Data[at:end], old.Data[at:end]) {
				fmt.Fprintf(&b, " %d", at/512)
			}
		}
	}
	for _, f := range seen {
		if _, lost := had[f.Path]; lost {
			fmt.Fprintf(&b, "\n%s lost", drawnNames.ReplaceAllString(f.Path, "?"))
		}
	}
	return b.String()
}
