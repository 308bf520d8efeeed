package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"pgregory.net/rapid"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

func TestAnObjectsChecksumFollowsFromThoseOfItsParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		object := rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "object")
		partSize := rapid.IntRange(1, 1000).Draw(t, "part size")
		s := rapid.SampledFrom(schemes).Draw(t, "scheme")
		var parts []transport.PartReceipt
		all := s.new() // of the bytes, or of the parts' values
		for rest := object; len(parts) == 0 || len(rest) > 0; {
			piece := rest[:min(partSize, len(rest))]
			rest = rest[len(piece):]
			h, c := s.new(), newCRC32C()
			h.Write(piece)
			c.Write(piece)
			parts = append(parts, transport.PartReceipt{Number: len(parts) + 1, Size: int64(len(piece)), CRC32C: c.(hash.Hash32).Sum32(), Sum: h.Sum(nil)})
			if s.combine == nil {
				all.Write(h.Sum(nil))
			}
		}
		want := ""
		if s.combine == nil {
			want = fmt.Sprintf("%s-%d", encode(all.Sum(nil)), len(parts))
		} else {
			all.Write(object)
			want = encode(all.Sum(nil))
		}
		got, unknown := s.ofObject(parts)
		if got != want || len(unknown) > 0 {
			t.Fatalf("%s %s: got %s, parts %v unknown, want %s", s.algorithm, s.kind, got, unknown, want)
		}
	})
}

func TestACompositeChecksumIsTheOneThatS3Documents(t *testing.T) {
	// SHA-256 of the concatenated SHA-256 of each part, then the number of parts.
	one, two := sha256.Sum256([]byte("one")), sha256.Sum256([]byte("two"))
	both := sha256.Sum256(append(one[:], two[:]...))
	want := base64.StdEncoding.EncodeToString(both[:]) + "-2"
	got, _ := schemeOf("sha256").ofObject([]transport.PartReceipt{{Number: 1, Size: 3, Sum: one[:]}, {Number: 2, Size: 3, Sum: two[:]}})
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEveryDigestGoesOnAfterARestart(t *testing.T) {
	text := transporttest.Bytes(1, 5000)
	for _, s := range schemes {
		if s.name == "" {
			if newHash("") != nil {
				t.Error("CRC32C needs no digest of its own")
			}
			continue
		}
		before, after, whole := newHash(s.name), newHash(s.name), newHash(s.name)
		before.Write(text[:3333])
		state, err := before.(encoding.BinaryMarshaler).MarshalBinary()
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if err := after.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		after.Write(text[3333:])
		whole.Write(text)
		if got, want := after.Sum(nil), whole.Sum(nil); !bytes.Equal(got, want) || len(got) != s.size {
			t.Errorf("%s: got %x, want %x of %d bytes", s.name, got, want, s.size)
		}
	}
	if newHash("md5") != nil {
		t.Error("a digest that nobody knows was made")
	}
}

func TestEachAlgorithmHasTheTypesThatS3Takes(t *testing.T) {
	for _, c := range []struct{ algorithm, kind, want string }{
		{"", "", "CRC32C FULL_OBJECT"},
		{"crc32c", "", "CRC32C FULL_OBJECT"},
		{"CRC32C", "composite", "CRC32C COMPOSITE"},
		{"crc32", "", "CRC32 FULL_OBJECT"},
		{"crc32", "composite", "CRC32 COMPOSITE"},
		{"crc64nvme", "", "CRC64NVME FULL_OBJECT"},
		{"crc64nvme", "composite", ""},
		{"sha1", "", "SHA1 COMPOSITE"},
		{"sha1", "full_object", ""},
		{"sha256", "", "SHA256 COMPOSITE"},
		{"sha256", "full_object", ""},
		{"md5", "", ""},
		{"crc32c", "half", ""},
	} {
		got := ""
		if s, err := findScheme(c.algorithm, c.kind); err == nil {
			got = string(s.algorithm) + " " + string(s.kind)
		}
		if got != c.want {
			t.Errorf("%q %q: got %q, want %q", c.algorithm, c.kind, got, c.want)
		}
	}
}

func TestOnlyChecksumsOfOneTypeAreCompared(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"crc32c:AAAAAA==", "crc32c:AAAAAA==", false},
		{"crc32c:AAAAAA==", "crc32c:AAAAAQ==", true},
		{"crc32c:AAAAAA==", "crc32:AAAAAQ==", false},
		{"crc32c:AAAAAA==", "crc32c-composite:AAAAAQ==-1", false},
		{"sha256:x-3", "sha256:y-3", true},
		{"sha256:x-3", "sha256:x-4", true},
		{"sha256:x", "sha256:y-1", false},
		{"", "sha256:y", false},
	} {
		if got := differ(c.a, c.b); got != c.want {
			t.Errorf("differ(%q, %q) = %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func FuzzChecksumOfAReply(f *testing.F) {
	f.Add("AAAAAA==", "COMPOSITE")
	f.Add("AAAAAA==-3", "")
	f.Add("-", "FULL_OBJECT")
	f.Fuzz(func(t *testing.T, value, kind string) {
		text := sums{&value, &value, &value, &value, &value}.text(types.ChecksumType(kind))
		if text != "" && len(text) > 100 {
			t.Errorf("%q %q: %d bytes would go into a receipt", value, kind, len(text))
		}
	})
}

// laid lays every object out for the destination's own scheme, as engine does.
type laid struct{ readable }

func (l laid) Put(ctx context.Context, o transport.Object, body transport.Body) (transport.Receipt, error) {
	o.Hash = l.Limits().Hash
	if o.Hash != "" {
		h, b := newHash(o.Hash), body.(*transporttest.Body)
		// Of what the bytes should be, not of what a body that fails says.
		if _, err := io.Copy(h, io.NewSectionReader(b.Reader, 0, b.Size())); err != nil {
			return transport.Receipt{}, err
		}
		o.Sum = h.Sum(nil)
	}
	return l.readable.Put(ctx, o, body)
}

func (l laid) Create(ctx context.Context, o transport.Object) (string, error) {
	o.Hash = l.Limits().Hash
	return l.readable.Create(ctx, o)
}

func (l laid) UploadPart(ctx context.Context, u transport.Upload, p transport.Part, body transport.Body) (transport.PartReceipt, error) {
	u.Object.Hash = l.Limits().Hash
	return l.readable.UploadPart(ctx, u, p, body)
}

func (l laid) Parts(ctx context.Context, u transport.Upload) ([]transport.PartReceipt, error) {
	u.Object.Hash = l.Limits().Hash
	return l.readable.Parts(ctx, u)
}

func (l laid) Complete(ctx context.Context, u transport.Upload, parts []transport.PartReceipt) (transport.Receipt, error) {
	u.Object.Hash = l.Limits().Hash
	return l.readable.Complete(ctx, u, parts)
}

func TestS3KeepsTheContractWithEveryChecksum(t *testing.T) {
	g := transporttest.StartGateway(t, transporttest.GatewayOptions{})
	for _, s := range schemes[1:] {
		t.Run(s.name, func(t *testing.T) {
			transporttest.Run(t, func(t *testing.T) transport.Destination {
				w := Write{Checksum: string(s.algorithm), ChecksumType: string(s.kind)}
				return laid{readable{openWrite(t, g, "", w), g.BucketDir}}
			})
		})
	}
}

func TestTheServerConfirmsEveryChecksum(t *testing.T) {
	b := newBench(t)
	for _, s := range schemes {
		d := laid{readable{openWrite(t, b.g, "", Write{Checksum: string(s.algorithm), ChecksumType: string(s.kind)}), b.g.BucketDir}}
		bytes := transporttest.Bytes(3, MinPartSize+7)
		o := transporttest.Object("confirmed/"+string(s.algorithm)+string(s.kind), bytes)
		id, err := d.Create(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		u := transport.Upload{ID: id, Object: o, PartSize: MinPartSize}
		var parts []transport.PartReceipt
		for n := range 2 {
			p, piece := transporttest.Part(d, bytes, n+1, MinPartSize)
			r, err := d.UploadPart(t.Context(), u, p, transporttest.NewBody(piece))
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, r)
		}
		value, _ := s.ofObject(parts)
		want := s.label(value)
		r, err := d.Complete(t.Context(), u, parts)
		if err != nil || r.Checksum != want {
			t.Errorf("%s %s: %+v, %v, want %s", s.algorithm, s.kind, r, err, want)
		}
		if again, err := d.Complete(t.Context(), u, parts); err != nil || again.Checksum != want {
			t.Errorf("%s %s, again: %+v, %v, want %s", s.algorithm, s.kind, again, err, want)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	frame := transporttest.Bytes(1, 64<<10)
	for _, s := range schemes {
		b.Run(string(s.algorithm), func(b *testing.B) {
			h := s.new()
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				h.Write(frame)
			}
		})
	}
}
