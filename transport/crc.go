package transport

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"hash/crc64"
	"sync"
)

// CombineCRC32C returns the Castagnoli CRC of a's bytes followed by b's, given
// the CRC of each and the length of b's in bytes. So the checksum of an object
// follows from those of its parts without reading a byte again. lenB below 1
// adds nothing.
func CombineCRC32C(a, b uint32, lenB int64) uint32 { return castagnoli.combine(a, b, lenB) }

// CombineCRC32 is CombineCRC32C for the IEEE CRC that S3 calls CRC32.
func CombineCRC32(a, b uint32, lenB int64) uint32 { return ieee.combine(a, b, lenB) }

// CombineCRC64NVME is CombineCRC32C for the CRC of NVMe, as NVME's table makes it.
func CombineCRC64NVME(a, b uint64, lenB int64) uint64 { return nvme.combine(a, b, lenB) }

var (
	castagnoli = newPowers[uint32](crc32.Castagnoli)
	ieee       = newPowers[uint32](crc32.IEEE)
	nvme       = newPowers[uint64](polyNVME)
)

// powers combines the CRCs of one polynomial. [i] is x^(8 * 2^i) modulo that
// polynomial; polynomials are in reflected notation: the highest bit is x^0.
//
// Appending a zero byte to a message multiplies its CRC register, seen as a
// polynomial over GF(2), by x^8; appending lenB bytes multiplies by x^(8*lenB).
// That power is made of squares, in 63 steps at most.
type powers[T uint32 | uint64] struct {
	poly T
	of2  [63]T
}

func newPowers[T uint32 | uint64](poly T) *powers[T] {
	p := &powers[T]{poly: poly}
	p.of2[0] = p.one() >> 8
	for i := 1; i < len(p.of2); i++ {
		p.of2[i] = p.mul(p.of2[i-1], p.of2[i-1])
	}
	return p
}

// one is x^0: the highest bit of T.
func (p *powers[T]) one() T { return ^(^T(0) >> 1) }

func (p *powers[T]) combine(a, b T, lenB int64) T {
	if lenB < 1 {
		return a
	}
	for i := 0; lenB != 0; lenB >>= 1 {
		if lenB&1 != 0 {
			a = p.mul(p.of2[i], a)
		}
		i++
	}
	return a ^ b
}

// mul multiplies two polynomials modulo p's.
func (p *powers[T]) mul(a, b T) (product T) {
	for top := p.one(); a != 0; a <<= 1 {
		if a&top != 0 {
			product ^= b
		}
		carry := b & 1
		b >>= 1
		if carry != 0 {
			b ^= p.poly // reflected, as hash/crc32 and hash/crc64 have it
		}
	}
	return product
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

// polyNVME is the reflected polynomial of the NVM Command Set Specification's
// 64-bit CRC.
const polyNVME = 0x9A6C9329AC4BC9B5

// NVME is the table of the CRC that S3 calls CRC64NVME, made when it is first
// asked for.
var NVME = sync.OnceValue(func() *crc64.Table { return crc64.MakeTable(polyNVME) })
