package engine

import (
	"cmp"
	"fmt"
	"sort"

	"github.com/seed-7270d448/dray/transport"
)

// A Listed object is one of an inventory: a destination whose objects have no
// keys describes them there and nowhere else.
type Listed struct {
	ArchiveID string
	Key       string
	transport.Stored
}

// VerifyList is Verify for receipts of objects in a vault, against an inventory
// of it: list calls fn with each of its objects, and returns which vault it is.
// VerifyList names the archive of a receipt that is in doubt, if there is one of the same key, size
// and tree hash; and holds the receipts to compare with in memory, some 300 bytes
// each. An inventory is a day old, so what is newer is absent.
func VerifyList(stateDir string, sel VerifySelection, list func(fn func(Listed) error) (vault string, err error), fn func(Verified) error) (VerifySummary, error) {
	var sum VerifySummary
	waiting, doubtful := map[string]Receipt{}, map[string]Receipt{}
	err := ReadReceipts(stateDir, func(r Receipt) error {
		switch {
		case sel.Stream != "" && r.Stream != sel.Stream, r.CompletedAt.Before(sel.Since), r.Vault == "":
		case r.Dropped != "":
			sum.Dropped++
		case r.ArchiveID == "":
			doubtful[r.Key+"\x00"+r.Checksum] = r
		default:
			waiting[r.ArchiveID] = r
		}
		return nil
	})
	if err != nil {
		return sum, err
	}
	var outcomes []Verified
	vault, err := list(func(l Listed) error {
		if r, ok := waiting[l.ArchiveID]; ok {
			delete(waiting, l.ArchiveID)
			if why, _ := differences(r, l.Stored); len(why) > 0 {
				outcomes = append(outcomes, verified(r, VerifiedDifferent, why...))
				sum.Different++
			} else {
				sum.Same++
			}
			return nil
		}
		id := l.Key + "\x00" + l.Checksum
		if r, ok := doubtful[id]; ok && r.Size == l.Size {
			delete(doubtful, id)
			outcomes = append(outcomes, verified(r, VerifiedSame, "it was in doubt: it is archive "+l.ArchiveID))
			sum.Same++
		}
		return nil
	})
	if err != nil {
		return sum, fmt.Errorf("verify: %w", err)
	}
	absent := func(receipts map[string]Receipt, why ...string) {
		for _, r := range receipts {
			if r.Vault == vault { // else another inventory tells
				outcomes = append(outcomes, verified(r, VerifiedAbsent, why...))
				sum.Absent++
			}
		}
	}
	absent(waiting)
	absent(doubtful, "in doubt, and no archive in the inventory is it")
	sum.Receipts = sum.Same + sum.Different + sum.Absent
	sort.Slice(outcomes, func(i, j int) bool {
		a, b := &outcomes[i], &outcomes[j]
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Start, b.Start)) < 0
	})
	for _, v := range outcomes {
		if err := fn(v); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

func verified(r Receipt, state string, why ...string) Verified {
	return Verified{Destination: r.Destination, Stream: r.Stream, Epoch: r.Epoch, Start: r.Start, Key: r.Key, State: state, Why: why}
}
