package wal

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crcPowers holds, for each k, the 32x32 bit matrix that appends 2^k zero bytes
// to a CRC32C. A column is the effect of one bit of the register.
var crcPowers = func() (p [63][32]uint32) {
	var m [32]uint32 // one zero bit
	m[0] = 0x82f63b78
	for i := 1; i < 32; i++ {
		m[i] = 1 << (i - 1)
	}
	for range 3 { // one zero byte
		m = crcSquare(&m)
	}
	for k := range p {
		p[k] = m
		m = crcSquare(&m)
	}
	return p
}()

func crcTimes(m *[32]uint32, v uint32) (r uint32) {
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 != 0 {
			r ^= m[i]
		}
	}
	return r
}

func crcSquare(m *[32]uint32) (r [32]uint32) {
	for i := range m {
		r[i] = crcTimes(m, m[i])
	}
	return r
}

// crcCombine returns the CRC32C of a followed by b, given the CRC of each and
// b's length in bytes. With it a part's checksum costs no second look at the
// bytes: the frames' own checksums are put together. (The method is zlib's
// crc32_combine.)
func crcCombine(a, b uint32, lenB int64) uint32 {
	for k := 0; lenB > 0; k, lenB = k+1, lenB>>1 {
		if lenB&1 != 0 {
			a = crcTimes(&crcPowers[k], a)
		}
	}
	return a ^ b
}
