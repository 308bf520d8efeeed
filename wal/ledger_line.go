package wal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
)

// A ledger line is the caller's JSON object with one more member at its end:
//
//	{"key":"gps/2026/11/a.log","size":12,"crc":"9f6adf4c"}\n
//	|<------- covered by the CRC32C ---->|
//
// So a line is still a JSON object to anyone who reads it, and rot is seen.
const (
	ledgerMaxLine = 64 << 10 // bytes of the caller's object
	ledgerMark    = `"crc":"`
	ledgerTail    = len(ledgerMark) + 8 + len(`"}`)
)

// sealLedgerLine returns line with its CRC and a newline.
func sealLedgerLine(line []byte) ([]byte, error) {
	switch {
	case len(line) > ledgerMaxLine:
		return nil, fmt.Errorf("a line has %d bytes; at most %d are allowed", len(line), ledgerMaxLine)
	case len(line) < 2 || line[0] != '{' || !json.Valid(line) || line[len(line)-1] != '}':
		return nil, errors.New("a line must be one JSON object")
	case bytes.IndexByte(line, '\n') >= 0:
		return nil, errors.New("a line must not hold a newline")
	}
	sealed := make([]byte, 0, len(line)+1+ledgerTail+1)
	sealed = append(sealed, line[:len(line)-1]...)
	if len(line) > 2 {
		sealed = append(sealed, ',')
	}
	return fmt.Appendf(sealed, "%s%08x\"}\n", ledgerMark, crc32.Checksum(sealed, castagnoli)), nil
}

// openLedgerLine returns the caller's object of a sealed line, without its
// newline. It is false unless every byte is as it was written.
func openLedgerLine(sealed []byte) (line []byte, ok bool) {
	at := len(sealed) - ledgerTail
	if at < 1 || at > ledgerMaxLine || sealed[0] != '{' {
		return nil, false
	}
	covered := sealed[:at]
	if string(sealed[at:]) != fmt.Sprintf("%s%08x\"}", ledgerMark, crc32.Checksum(covered, castagnoli)) {
		return nil, false
	}
	if at > 1 {
		covered = covered[:at-1] // the comma
	}
	return append(bytes.Clone(covered), '}'), true
}

// salvageLedgerLine finds the sound lines in bytes that are none as a whole: a
// newline that rotted joins two lines, one that appeared cuts off garbage.
func salvageLedgerLine(b []byte) (lines [][]byte) {
	for {
		mark := bytes.Index(b, []byte(ledgerMark))
		if mark < 0 || len(b) < mark+ledgerTail {
			return lines
		}
		end := mark + ledgerTail
		if line, ok := openLedgerLine(b[:end]); ok {
			lines = append(lines, line)
			b = b[min(end+1, len(b)):] // the byte between was a newline
			continue
		}
		// A member of the caller may be called crc as well, or the line before is
		// the damaged one: a line can only begin behind this mark's end.
		next := bytes.IndexByte(b[end:], '{')
		if next < 0 {
			return lines
		}
		b = b[end+next:]
	}
}
