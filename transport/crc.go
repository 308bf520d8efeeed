package transport

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
)

// CombineCRC32C returns the Castagnoli CRC of a's bytes followed by b's, given
// the CRC of each and the length of b's in bytes. So the checksum of an object
// follows from those of its parts without reading a byte again. lenB below 1
// adds nothing.
//
// Appending a zero byte to a message multiplies its CRC register, seen as a
// polynomial over GF(2), by x^8; appending lenB bytes multiplies by x^(8*lenB).
// That power is made by squaring, in 64 steps at most.
func CombineCRC32C(a, b uint32, lenB int64) uint32 {
	if lenB < 1 {
		return a
	}
	for i := 0; lenB != 0; lenB >>= 1 {
		if lenB&1 != 0 {
			a = mulMod(zeroBytes[i], a)
		}
		i++
	}
	return a ^ b
}

// zeroBytes[i] is x^(8 * 2^i) modulo the Castagnoli polynomial: what 2^i zero
// bytes multiply a register by.
var zeroBytes = func() (t [63]uint32) {
	t[0] = 1 << (31 - 8) // x^8; bit 31 is x^0
	for i := 1; i < len(t); i++ {
		t[i] = mulMod(t[i-1], t[i-1])
	}
	return t
}()

// mulMod multiplies two polynomials in reflected notation (bit 31 is x^0)
// modulo the Castagnoli polynomial.
func mulMod(a, b uint32) (p uint32) {
	for ; a != 0; a <<= 1 {
		if a&(1<<31) != 0 {
			p ^= b
		}
		carry := b & 1
		b >>= 1
		if carry != 0 {
			b ^= crc32.Castagnoli // the constant is the reflected polynomial
		}
	}
	return p
}

// EncodeCRC32C gives a CRC as S3 and receipts write it: the standard base64 of
// its four bytes, the highest first.
func EncodeCRC32C(crc uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc))
}

// DecodeCRC32C reads what EncodeCRC32C wrote; false for anything else.
func DecodeCRC32C(s string) (crc uint32, ok bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(b), true
}

// ChecksumPrefix begins the Checksum of a Receipt or Stored that holds a
// CRC32C over the whole object.
const ChecksumPrefix = "crc32c:"

// Castagnoli is the table of the CRC that Dray uses everywhere.
var Castagnoli = crc32.MakeTable(crc32.Castagnoli)
