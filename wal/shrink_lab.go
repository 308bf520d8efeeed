//go:build lab

package wal

import (
	"os"
	"strconv"
)

// shrink makes a state folder go through its whole life with few bytes. Only in
// builds with the tag lab, which take sizes in bytes from the environment:
//
//	DRAY_LAB_SLOT_BYTES     of a slot; max_bytes stays the same number of slots
//	DRAY_LAB_ROLL_BYTES     from which a log of the journal is rolled
//	DRAY_LAB_RESERVE_BYTES  of the journal's reserve
//	DRAY_LAB_LEDGER_BYTES   at which receipts are rotated
func shrink(o *Options) (s sizes) {
	number := func(name string) int64 {
		n, err := strconv.ParseInt(os.Getenv(name), 10, 64)
		if err != nil || n < 0 {
			return 0
		}
		return n
	}
	if n := number("DRAY_LAB_SLOT_BYTES") &^ (blockSize - 1); n >= 4*blockSize {
		o.MaxBytes = o.MaxBytes / o.SlotBytes * n
		o.SlotBytes = n
	}
	s.journal.RollBytes = number("DRAY_LAB_ROLL_BYTES")
	s.journal.Reserve = number("DRAY_LAB_RESERVE_BYTES")
	s.ledger = number("DRAY_LAB_LEDGER_BYTES")
	return s
}
