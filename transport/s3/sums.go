package s3

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/seed-7270d448/dray/transport"
)

// A scheme is one way in which S3 checks an object: an algorithm, and whether
// the object's value is that of its bytes (full object) or of its parts'
// values (composite). An object keeps the one that it was laid out for.
type scheme struct {
	name      string // as in transport.Limits.Hash; "" is CRC32C of the full object
	algorithm types.ChecksumAlgorithm
	kind      types.ChecksumType
	size      int // bytes of a value
	new       func() hash.Hash
	combine   func(a, b []byte, lenB int64) []byte // nil if composite
}

// schemes is every way that S3 knows for a multipart upload, the default first.
var schemes = []*scheme{
	{"", types.ChecksumAlgorithmCrc32c, types.ChecksumTypeFullObject, 4, newCRC32C, combine32(transport.CombineCRC32C)},
	{"crc32c-composite", types.ChecksumAlgorithmCrc32c, types.ChecksumTypeComposite, 4, newCRC32C, nil},
	{"crc32", types.ChecksumAlgorithmCrc32, types.ChecksumTypeFullObject, 4, newCRC32, combine32(transport.CombineCRC32)},
	{"crc32-composite", types.ChecksumAlgorithmCrc32, types.ChecksumTypeComposite, 4, newCRC32, nil},
	{"crc64nvme", types.ChecksumAlgorithmCrc64nvme, types.ChecksumTypeFullObject, 8, newCRC64NVME, combine64NVME},
	{"sha1", types.ChecksumAlgorithmSha1, types.ChecksumTypeComposite, sha1.Size, sha1.New, nil},
	{"sha256", types.ChecksumAlgorithmSha256, types.ChecksumTypeComposite, sha256.Size, sha256.New, nil},
}

func newCRC32C() hash.Hash    { return crc32.New(transport.Castagnoli) }
func newCRC32() hash.Hash     { return crc32.NewIEEE() }
func newCRC64NVME() hash.Hash { return crc64.New(transport.NVME()) }

func combine32(combine func(a, b uint32, lenB int64) uint32) func(a, b []byte, lenB int64) []byte {
	return func(a, b []byte, lenB int64) []byte {
		return binary.BigEndian.AppendUint32(nil, combine(binary.BigEndian.Uint32(a), binary.BigEndian.Uint32(b), lenB))
	}
}

func combine64NVME(a, b []byte, lenB int64) []byte {
	return binary.BigEndian.AppendUint64(nil, transport.CombineCRC64NVME(binary.BigEndian.Uint64(a), binary.BigEndian.Uint64(b), lenB))
}

// schemeOf finds the scheme of an object by its name; nil if there is none.
func schemeOf(name string) *scheme {
	for _, s := range schemes {
		if s.name == name {
			return s
		}
	}
	return nil
}

// findScheme finds a scheme by what a config says; kind may be empty.
func findScheme(algorithm, kind string) (*scheme, error) {
	if algorithm == "" {
		algorithm = string(schemes[0].algorithm)
	}
	known := false
	for _, s := range schemes {
		if !strings.EqualFold(algorithm, string(s.algorithm)) {
			continue
		}
		if kind == "" || strings.EqualFold(kind, string(s.kind)) {
			return s, nil
		}
		known = true
	}
	switch {
	case !known:
		return nil, &ConfigError{"checksum", fmt.Sprintf("%q is not known", algorithm), "choose one of crc32c, crc64nvme, crc32, sha1, sha256"}
	case !strings.EqualFold(kind, string(types.ChecksumTypeComposite)) && !strings.EqualFold(kind, string(types.ChecksumTypeFullObject)):
		return nil, &ConfigError{"checksum_type", fmt.Sprintf("%q is not known", kind), "choose full_object or composite, or leave the key out"}
	}
	return nil, &ConfigError{"checksum_type", fmt.Sprintf("S3 knows no %s checksum of type %s", algorithm, kind), "leave the key out: each algorithm has a good default"}
}

// ofPart is the value of a part or of an object sent whole; nil if it is not
// known. CRC32C is always at hand.
func (s *scheme) ofPart(crc uint32, sum []byte) []byte {
	if s.algorithm == types.ChecksumAlgorithmCrc32c {
		return binary.BigEndian.AppendUint32(nil, crc)
	}
	if len(sum) != s.size {
		return nil
	}
	return sum
}

// ofObject is the value of an object in S3's notation, made from those of its
// parts without reading a byte; "" with the numbers of parts whose value is
// not known.
func (s *scheme) ofObject(parts []transport.PartReceipt) (value string, unknown []int) {
	sum := make([]byte, s.size)
	all := s.new()
	for _, p := range parts {
		part := s.ofPart(p.CRC32C, p.Sum)
		switch {
		case part == nil:
			unknown = append(unknown, p.Number)
		case s.combine != nil:
			sum = s.combine(sum, part, p.Size)
		default:
			all.Write(part)
		}
	}
	switch {
	case len(unknown) > 0:
		return "", unknown
	case s.combine != nil:
		return encode(sum), nil
	}
	return encode(all.Sum(nil)) + "-" + strconv.Itoa(len(parts)), nil
}

func encode(sum []byte) string { return base64.StdEncoding.EncodeToString(sum) }

// label puts the algorithm before a value, as receipts hold it. One that is
// composed of parts' CRCs must not be taken for that of the bytes.
func (s *scheme) label(value string) string {
	name := strings.ToLower(string(s.algorithm))
	if s.size < sha1.Size && strings.Contains(value, "-") {
		name += "-composite"
	}
	return name + ":" + value
}

// sums are the checksum fields that requests and replies share.
type sums struct{ crc32, crc32c, crc64nvme, sha1, sha256 *string }

func (v *sums) field(a types.ChecksumAlgorithm) **string {
	switch a {
	case types.ChecksumAlgorithmCrc32:
		return &v.crc32
	case types.ChecksumAlgorithmCrc32c:
		return &v.crc32c
	case types.ChecksumAlgorithmCrc64nvme:
		return &v.crc64nvme
	case types.ChecksumAlgorithmSha1:
		return &v.sha1
	}
	return &v.sha256
}

// sums puts a value into the field of s's algorithm.
func (s *scheme) sums(value string) (v sums) {
	*v.field(s.algorithm) = &value
	return v
}

// value is the field of s's algorithm, decoded; nil if it is not there.
func (s *scheme) value(v sums) []byte {
	b, err := base64.StdEncoding.DecodeString(aws.ToString(*v.field(s.algorithm)))
	if err != nil || len(b) != s.size {
		return nil
	}
	return b
}

// text is the checksum that a reply holds as receipts hold it, empty if it
// holds none. Composite values end in "-N".
func (v sums) text(kind types.ChecksumType) string {
	for _, s := range schemes {
		given := aws.ToString(*v.field(s.algorithm))
		base, count, composite := strings.Cut(given, "-")
		b, err := base64.StdEncoding.DecodeString(base)
		if err != nil || len(b) != s.size {
			continue
		}
		if n, err := strconv.Atoi(count); composite && (err != nil || n < 1 || n > maxParts) {
			continue
		}
		if kind == types.ChecksumTypeComposite && !composite {
			continue // of how many parts, it does not say
		}
		return s.label(given)
	}
	return ""
}

// differ reports whether two checksums in a receipt's form are of the same
// algorithm and type, and yet not the same.
func differ(a, b string) bool {
	kind := func(s string) string {
		name, value, _ := strings.Cut(s, ":")
		if strings.Contains(value, "-") {
			name += "-" // of the same parts: the count is part of the value
		}
		return name
	}
	return a != "" && b != "" && kind(a) == kind(b) && a != b
}

// samePart reports whether the server holds what was sent.
func samePart(held, sent transport.PartReceipt) bool {
	quotes := func(s string) string { return strings.Trim(s, `"`) }
	return held.Size == sent.Size && quotes(held.ETag) == quotes(sent.ETag) && !otherBytes(held, sent)
}

// otherBytes reports whether a checksum tells two parts apart.
func otherBytes(a, b transport.PartReceipt) bool {
	return a.HasCRC && b.HasCRC && a.CRC32C != b.CRC32C || len(a.Sum) > 0 && len(b.Sum) > 0 && !bytes.Equal(a.Sum, b.Sum)
}

// newHash is transport.Limits.NewHash.
func newHash(name string) hash.Hash {
	i := slices.IndexFunc(schemes, func(s *scheme) bool { return s.name == name })
	if name == "" || i < 0 {
		return nil
	}
	return schemes[i].new()
}
