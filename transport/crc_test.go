package transport

import (
	"hash/crc32"
	"hash/crc64"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestCombineCRC32CEqualsTheCRCOfTheConcatenation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(rapid.Byte(), 0, 5000).Draw(t, "a")
		b := rapid.SliceOfN(rapid.Byte(), 0, 5000).Draw(t, "b")
		got := CombineCRC32C(crc32.Checksum(a, Castagnoli), crc32.Checksum(b, Castagnoli), int64(len(b)))
		want := crc32.Checksum(append(append([]byte{}, a...), b...), Castagnoli)
		if got != want {
			t.Fatalf("combine(%d bytes, %d bytes) = %08x, want %08x", len(a), len(b), got, want)
		}
	})
}

func TestCombineOfEveryCRCEqualsTheCRCOfTheConcatenation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(rapid.Byte(), 0, 5000).Draw(t, "a")
		b := rapid.SliceOfN(rapid.Byte(), 0, 5000).Draw(t, "b")
		n, ab := int64(len(b)), append(append([]byte{}, a...), b...)
		if got, want := CombineCRC32(crc32.ChecksumIEEE(a), crc32.ChecksumIEEE(b), n), crc32.ChecksumIEEE(ab); got != want {
			t.Fatalf("CRC32: combine(%d bytes, %d bytes) = %08x, want %08x", len(a), len(b), got, want)
		}
		if got, want := CombineCRC64NVME(crc64.Checksum(a, NVME()), crc64.Checksum(b, NVME()), n), crc64.Checksum(ab, NVME()); got != want {
			t.Fatalf("CRC64NVME: combine(%d bytes, %d bytes) = %016x, want %016x", len(a), len(b), got, want)
		}
	})
}

func TestCRC64NVMEHasItsPublishedCheckValue(t *testing.T) {
	// The value for "123456789" in the catalogue of CRCs, CRC-64/NVME.
	if got, want := crc64.Checksum([]byte("123456789"), NVME()), uint64(0xAE8B14860A799888); got != want {
		t.Errorf("got %016x, want %016x", got, want)
	}
}

func TestCombineCRC32CIsAssociativeAtAnyLength(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := rapid.Uint32().Draw(t, "a"), rapid.Uint32().Draw(t, "b"), rapid.Uint32().Draw(t, "c")
		lenB := rapid.Int64Range(1, math.MaxInt64/2).Draw(t, "lenB")
		lenC := rapid.Int64Range(1, math.MaxInt64/2).Draw(t, "lenC")
		got := CombineCRC32C(CombineCRC32C(a, b, lenB), c, lenC)
		want := CombineCRC32C(a, CombineCRC32C(b, c, lenC), lenB+lenC)
		if got != want {
			t.Fatalf("(a+b)+c = %08x, a+(b+c) = %08x", got, want)
		}
	})
}

func TestCombineCRC32COfAGibibyteOfZeros(t *testing.T) {
	// Doubling from 1 MiB is independent of a single step over the whole.
	zeros := crc32.Checksum(make([]byte, 1<<20), Castagnoli)
	want := zeros
	for n := int64(1 << 20); n < 1<<30; n *= 2 {
		want = CombineCRC32C(want, want, n)
	}
	got := zeros
	for range 1<<10 - 1 {
		got = CombineCRC32C(got, zeros, 1<<20)
	}
	if got != want {
		t.Errorf("a gibibyte of zeros: %08x, want %08x", got, want)
	}
}

func TestDecodeCRC32CTakesBackWhatEncodeGave(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.Uint32().Draw(t, "crc")
		got, ok := DecodeCRC32C(EncodeCRC32C(want))
		if !ok || got != want {
			t.Fatalf("got %08x, %v, want %08x", got, ok, want)
		}
	})
	for _, bad := range []string{"", "AAAA", "AAAAAAA=", "not base64", "AAAAAA==-1"} {
		if crc, ok := DecodeCRC32C(bad); ok {
			t.Errorf("DecodeCRC32C(%q) = %08x, want it refused", bad, crc)
		}
	}
}
