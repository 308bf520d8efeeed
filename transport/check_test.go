package transport

import (
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
)

func TestCheckRefusesWhatServersMangle(t *testing.T) {
	for _, key := range []string{"", ".", "..", "/a", "a/", "a//b", "a/./b", "a/../b", "a\x00b", "a\nb", "\xff", strings.Repeat("k", MaxKey+1)} {
		if err := (Object{Key: key}).Check(); err == nil {
			t.Errorf("key %q was let through", key)
		}
	}
	for _, key := range []string{"a", "a/b", "a b/ü+%41&=?#", "...", strings.Repeat("k", MaxKey)} {
		if err := (Object{Key: key}).Check(); err != nil {
			t.Errorf("key %q: %v", key, err)
		}
	}
	for _, m := range []map[string]string{
		{"": "x"}, {"Upper": "x"}, {"a b": "x"}, {"a": "x\n"}, {"a": "ü"}, {"a": strings.Repeat("x", MaxMetadata)},
	} {
		if err := (Object{Key: "k", Metadata: m}).Check(); err == nil {
			t.Errorf("metadata %q was let through", m)
		}
	}
	if err := (Object{Key: "k", Size: -2}).Check(); err == nil {
		t.Error("size -2 was let through")
	}
}

func TestIsObjectNeedsIdentitySizeAndChecksum(t *testing.T) {
	id := map[string]string{"dray-stream": "gps", "dray-start": "7"}
	o := Object{Key: "k", Size: 5, CRC32C: 9, Metadata: id}
	sum := ChecksumPrefix + EncodeCRC32C(9)
	for _, tt := range []struct {
		name string
		o    Object
		s    Stored
		want bool
	}{
		{"all equal", o, Stored{Size: 5, Checksum: sum, Metadata: id}, true},
		{"no checksum", o, Stored{Size: 5, Metadata: id}, true},
		{"checksum of another type", o, Stored{Size: 5, Checksum: "crc64nvme:x", Metadata: id}, true},
		{"other metadata besides", o, Stored{Size: 5, Checksum: sum, Metadata: map[string]string{"dray-stream": "gps", "dray-start": "7", "owner": "x"}}, true},
		{"other size", o, Stored{Size: 6, Checksum: sum, Metadata: id}, false},
		{"other checksum", o, Stored{Size: 5, Checksum: ChecksumPrefix + EncodeCRC32C(8), Metadata: id}, false},
		{"other start", o, Stored{Size: 5, Checksum: sum, Metadata: map[string]string{"dray-stream": "gps", "dray-start": "8"}}, false},
		{"no metadata", o, Stored{Size: 5, Checksum: sum}, false},
		{"more identity", o, Stored{Size: 5, Checksum: sum, Metadata: map[string]string{"dray-stream": "gps", "dray-start": "7", "dray-gap": "1"}}, false},
		{"no identity, checksum", Object{Size: 5, CRC32C: 9}, Stored{Size: 5, Checksum: sum}, true},
		{"no identity, no checksum", Object{Size: 5, CRC32C: 9}, Stored{Size: 5}, false},
	} {
		if got := tt.s.IsObject(tt.o); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestCheckPartsFindsHolesAndWrongSums(t *testing.T) {
	crc := func(s string) uint32 { return crc32.Checksum([]byte(s), Castagnoli) }
	part := func(n int, s string) PartReceipt {
		return PartReceipt{Number: n, Size: int64(len(s)), CRC32C: crc(s), HasCRC: true}
	}
	o := Object{Key: "k", Size: 10, CRC32C: crc("abcdefghij")}
	one, two, three := part(1, "abcd"), part(2, "efgh"), part(3, "ij")
	for _, tt := range []struct {
		name    string
		o       Object
		parts   []PartReceipt
		missing []int
		bad     bool
	}{
		{"whole", o, []PartReceipt{one, two, three}, nil, false},
		{"hole", o, []PartReceipt{one, three}, []int{2}, false},
		{"no end", o, []PartReceipt{one}, []int{2, 3}, false},
		{"nothing", o, nil, []int{1, 2, 3}, false},
		{"wrong order", o, []PartReceipt{two, one, three}, nil, true},
		{"twice", o, []PartReceipt{one, one, two, three}, nil, true},
		{"wrong bytes", o, []PartReceipt{one, part(2, "efgH"), three}, nil, true},
		{"wrong size", o, []PartReceipt{one, two, part(3, "i")}, nil, true},
		{"not sealed", Object{Size: -1}, nil, nil, true},
		{"empty", Object{}, []PartReceipt{part(1, "")}, nil, false},
	} {
		missing, err := tt.o.CheckParts(tt.parts, 4)
		if !slices.Equal(missing, tt.missing) || (err != nil) != tt.bad {
			t.Errorf("%s: got %v, %v, want %v, error %v", tt.name, missing, err, tt.missing, tt.bad)
		}
	}
	_, err := o.CheckParts([]PartReceipt{one, part(2, "efgH"), three}, 4)
	if !errors.Is(err, ErrChecksum) {
		t.Errorf("wrong bytes: %v, want ErrChecksum", err)
	}
}
