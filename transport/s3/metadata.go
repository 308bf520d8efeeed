package s3

import (
	"strings"
)

// encodeMetadata percent-encodes what does not survive the way as a signed HTTP
// header or comes back changed from some server: what is not printable ASCII,
// blanks (of which S3 demands it), the beginning of an RFC 2047 word, and the
// percent sign itself.
func encodeMetadata(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for name, value := range m {
		var b strings.Builder
		for i := range len(value) {
			c := value[i]
			keep := c > ' ' && c <= '~' && c != '%'
			if c == '=' && i+1 < len(value) && value[i+1] == '?' {
				keep = false
			}
			if keep {
				b.WriteByte(c)
				continue
			}
			const hex = "0123456789ABCDEF"
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
		out[name] = b.String()
	}
	return out
}

// decodeMetadata undoes encodeMetadata. A percent sign that encodes nothing,
// which others may have written, stands for itself.
func decodeMetadata(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for name, value := range m {
		var b strings.Builder
		for i := 0; i < len(value); i++ {
			if value[i] == '%' && i+2 < len(value) {
				hi, lo := nibble(value[i+1]), nibble(value[i+2])
				if hi >= 0 && lo >= 0 {
					b.WriteByte(byte(hi<<4 | lo))
					i += 2
					continue
				}
			}
			b.WriteByte(value[i])
		}
		out[strings.ToLower(name)] = b.String()
	}
	return out
}

// nibble is the value of a hexadecimal digit, -1 for anything else.
func nibble(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// size is how many bytes of headers m takes as servers count them.
func size(m map[string]string) (n int) {
	for name, value := range m {
		n += len(name) + len(value)
	}
	return n
}
