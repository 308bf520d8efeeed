package glacier

import (
	"bytes"
	"encoding"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-7270d448/dray/transport/transporttest"
)

const mib = 1 << 20

// hashed is what a digest makes of what r gives.
func hashesOf(t testing.TB, r io.Reader) (tree, linear string) {
	t.Helper()
	d := newHash(hashName)
	if _, err := io.CopyBuffer(struct{ io.Writer }{d}, struct{ io.Reader }{r}, make([]byte, 64<<10)); err != nil {
		t.Fatal(err)
	}
	sum := hex.EncodeToString(d.Sum(nil))
	return sum[:64], sum[64:]
}

// repeat gives n bytes of c.
func repeat(c byte, n int64) io.Reader { return io.LimitReader(&endless{c}, n) }

type endless struct{ c byte }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.c
	}
	return len(p), nil
}

// The vectors are those in the tests of botocore and of aws-sdk-go.
func TestBothHashesAreThePublishedOnes(t *testing.T) {
	for _, v := range []struct {
		c      byte
		n      int64
		tree   string
		linear string
	}{
		{'a', 1024, "2edc986847e209b4016e141a6dc8716d3207350f416969382d431539bf292e4a", "2edc986847e209b4016e141a6dc8716d3207350f416969382d431539bf292e4a"},
		{'a', mib, "9bc1b2a288b26af7257a36277ae3816a7d4f16e89c1e7e77d0a5c48bad62b360", "9bc1b2a288b26af7257a36277ae3816a7d4f16e89c1e7e77d0a5c48bad62b360"},
		{'a', 4 * mib, "9491cb2ed1d4e7cd53215f4017c23ec4ad21d7050a1e6bb636c4f67e8cddb844", ""},
		{'a', 4*mib + 20, "12f3cbd6101b981cde074039f6f728071da8879d6f632de8afc7cdf00661b08f", ""},
		{'0', 5767168, "154e26c78fd74d0c2c9b3cc4644191619dc4f2cd539ae2a74d5fd07957a3ee6a", "68aff0c5a91aa0491752bfb96e3fef33eb74953804f6a2f7b708d5bcefa8ff6b"},
	} {
		tree, linear := hashesOf(t, repeat(v.c, v.n))
		if tree != v.tree || v.linear != "" && linear != v.linear {
			t.Errorf("%d times %q: %s, %s, want %s, %s", v.n, v.c, tree, linear, v.tree, v.linear)
		}
	}
}

// The other implementation is that of aws-sdk-go, version 1.
func TestBothHashesAreThoseOfAnotherImplementation(t *testing.T) {
	other, err := transporttest.NewTreeHasher()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "bytes")
	for _, n := range []int64{0, 1, mib - 1, mib, mib + 1, 5 * mib / 2, 15 * mib / 2, 64*mib + 17} {
		b := transporttest.Bytes(uint64(n), n)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		wantTree, wantLinear, err := other.Hash(name)
		if err != nil {
			t.Fatal(err)
		}
		tree, linear := hashesOf(t, bytes.NewReader(b))
		if n == 0 { // of nothing it has no tree; ours is the hash of nothing
			wantTree = wantLinear
		}
		if tree != wantTree || linear != wantLinear {
			t.Errorf("%d bytes: %s, %s, want %s, %s", n, tree, linear, wantTree, wantLinear)
		}
	}
	// 1 GiB, as 128 files that are one.
	part := transporttest.Bytes(7, 8*mib)
	if err := os.WriteFile(name, part, 0o600); err != nil {
		t.Fatal(err)
	}
	names, readers := make([]string, 128), make([]io.Reader, 128)
	for i := range names {
		names[i], readers[i] = name, bytes.NewReader(part)
	}
	wantTree, wantLinear, err := other.Hash(names...)
	if err != nil {
		t.Fatal(err)
	}
	if tree, linear := hashesOf(t, io.MultiReader(readers...)); tree != wantTree || linear != wantLinear {
		t.Errorf("1 GiB: %s, %s, want %s, %s", tree, linear, wantTree, wantLinear)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
}

func TestAnArchivesTreeHashIsMadeOfItsParts(t *testing.T) {
	for _, partSize := range []int64{mib, 2 * mib, 4 * mib} {
		for _, n := range []int64{1, mib, mib + 1, 7*mib + 5, 8 * mib, 13 * mib} {
			b := transporttest.Bytes(uint64(n), n)
			want, _ := hashesOf(t, bytes.NewReader(b))
			var parts []node
			for rest := b; len(rest) > 0; {
				d := newDigest()
				piece := rest[:min(partSize, int64(len(rest)))]
				d.Write(piece)
				tree, _, _ := sums(d.Sum(nil))
				parts, rest = append(parts, tree), rest[len(piece):]
			}
			if got := treeOf(parts).String(); got != want {
				t.Errorf("%d bytes in parts of %d: %s, want %s", n, partSize, got, want)
			}
		}
	}
}

// What start-up finds in the slot goes on as if nothing had been.
func TestADigestGoesOnFromItsState(t *testing.T) {
	b := transporttest.Bytes(3, 7*mib)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(0, len(b)), rapid.Map(rapid.IntRange(0, 6), func(i int) int { return i * mib })).Draw(t, "bytes")
		cut := rapid.OneOf(rapid.IntRange(0, n), rapid.Map(rapid.IntRange(0, n/mib), func(i int) int { return i * mib })).Draw(t, "saved after")
		whole, first := newDigest(), newDigest()
		whole.Write(b[:n])
		first.Write(b[:cut])
		saved, err := first.MarshalBinary()
		if err != nil || len(saved) > 1024 {
			t.Fatalf("a state of %d bytes, %v", len(saved), err)
		}
		second := newHash(hashName)
		if err := second.(encoding.BinaryUnmarshaler).UnmarshalBinary(saved); err != nil {
			t.Fatal(err)
		}
		second.Write(b[cut:n])
		if got, want := second.Sum(nil), whole.Sum(nil); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, saved after %d: %x, want %x", n, cut, got, want)
		}
		whole.Reset()
		if got, want := whole.Sum(nil), newDigest().Sum(nil); !bytes.Equal(got, want) {
			t.Fatalf("reset: %x, want %x", got, want)
		}
	})
}

func FuzzDigestState(f *testing.F) {
	for _, n := range []int64{0, 5, mib, 3*mib + 1} {
		d := newDigest()
		d.Write(transporttest.Bytes(1, n))
		b, _ := d.MarshalBinary()
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := newDigest()
		if d.UnmarshalBinary(b) != nil {
			return
		}
		d.Write([]byte("goes on"))
		if got := d.Sum(nil); len(got) != sumSize {
			t.Errorf("a sum of %d bytes", len(got))
		}
	})
}

func TestADescriptionComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := transporttest.Object(rapid.StringMatching(`[a-zA-Z0-9 %=ü日]{1,20}`).Draw(t, "key"), nil)
		o.Metadata["dray-x"] = rapid.StringMatching(`[ -~]{0,40}`).Draw(t, "value")
		text, err := describe(o)
		if err != nil || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q: %v", text, err)
		}
		got, err := parseDescription(text)
		if err != nil || got.Key != o.Key || len(got.Metadata) != len(o.Metadata) {
			t.Fatalf("%q: %+v, %v, want %+v", text, got, err, o)
		}
		for name, want := range o.Metadata {
			if got.Metadata[name] != want {
				t.Fatalf("%q: %s is %q, want %q", text, name, got.Metadata[name], want)
			}
		}
	})
}

func FuzzParseDescription(f *testing.F) {
	good, _ := describe(transporttest.Object("gw/gps 1", nil))
	for _, s := range []string{"", "dray1", "dray1 key=a", good, "dray1 key=a x=%4", "dray1 key=a key=b", "a photograph"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := parseDescription(s)
		if err != nil {
			return
		}
		if again, err := describe(o); err != nil || len(again) != len(s) {
			t.Errorf("%q reads as %+v, which is written %q, %v", s, o, again, err)
		}
	})
}
