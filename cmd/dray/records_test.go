package main

import (
	"strings"
	"testing"

	"github.com/seed-7270d448/dray/engine"
)

// Whoever reads the list must not take for archived what is not.
func TestALineOfReceiptsSaysWhatIsNotArchived(t *testing.T) {
	for want, r := range map[string]engine.Receipt{
		"  a/b\n": {},
		"  a/b; dropped, nothing is archived: spool is full\n":                   {Dropped: "spool is full"},
		"  a/b; in doubt: the service forgot the upload\n":                       {InDoubt: "the service forgot the upload"},
		"  a/b; 7 bytes before it are lost\n":                                    {Gap: 7},
		"  a/b; bytes before it are lost, how many is not known\n":               {GapUnknown: true},
		"  a/b; 7 bytes before it are lost, perhaps more; its time is a guess\n": {Gap: 7, GapUnknown: true, Estimated: true},
	} {
		r.Key = "a/b"
		var b strings.Builder
		if err := writeReceipt(&b, r); err != nil || !strings.HasSuffix(b.String(), want) {
			t.Errorf("%+v: %q, %v; want it to end with %q", r, b.String(), err, want)
		}
	}
}

func TestReceiptsAsCSVLeaveOutNoFieldOfWeight(t *testing.T) {
	var b strings.Builder
	write, err := receiptWriter(&b, "csv")
	if err != nil {
		t.Fatal(err)
	}
	if err := write(engine.Receipt{Estimated: true, Follows: "0123"}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	if !strings.HasSuffix(lines[0], ",time_estimated,follows") || !strings.HasSuffix(lines[1], ",true,0123") {
		t.Errorf("%q does not say that the time is a guess, or what it follows", lines)
	}
}
