package glacier

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"math/bits"
)

// hashName is what durable state calls the digest of a part.
const hashName = "sha256-tree"

const (
	leafSize = 1 << 20 // bytes of a leaf of the tree
	sumSize  = 2 * sha256.Size
)

type node [sha256.Size]byte

// A digest makes both hashes that Glacier wants of a part, as the bytes pass:
// the SHA-256 tree hash and the linear SHA-256. Of the tree it holds the open
// leaf and the roots of the whole subtrees to its left, one for each bit that is
// set in their number of leaves: thirteen for a part of 4 GiB less a byte.
//
// The first leaf and the first MiB are the same bytes, so they are hashed once.
type digest struct {
	n      int64 // bytes so far
	leaf   hash.Hash
	linear hash.Hash // nil while leaf holds all there is
	nodes  []node    // roots, the largest subtree first
}

func newDigest() *digest { return &digest{leaf: sha256.New()} }

// newHash makes the digest of that name, nil if it is not known.
func newHash(name string) hash.Hash {
	if name != hashName {
		return nil
	}
	return newDigest()
}

// Write takes in the next bytes. It does not fail.
func (d *digest) Write(p []byte) (int, error) {
	for b := p; len(b) > 0; {
		n := min(int64(len(b)), leafSize-d.n%leafSize)
		d.leaf.Write(b[:n])
		if d.linear != nil {
			d.linear.Write(b[:n])
		}
		b = b[n:]
		if d.n += n; d.n%leafSize == 0 {
			d.grow()
		}
	}
	return len(p), nil
}

// grow takes a full leaf into the tree: of two subtrees of one size it makes one.
func (d *digest) grow() {
	if d.linear == nil {
		d.linear = sha256.New()
		_ = restore(d.linear, state(d.leaf)) // of one kind
	}
	var sum node
	d.leaf.Sum(sum[:0])
	d.leaf.Reset()
	d.nodes = push(d.nodes, d.n/leafSize-1, sum)
}

// push adds a leaf to a tree of count leaves.
func push(nodes []node, count int64, sum node) []node {
	for ; count&1 == 1; count >>= 1 {
		last := len(nodes) - 1
		sum = parent(nodes[last], sum)
		nodes = nodes[:last]
	}
	return append(nodes, sum)
}

// root joins subtrees, the largest first.
func root(nodes []node) node {
	sum := nodes[len(nodes)-1]
	for i := len(nodes) - 2; i >= 0; i-- {
		sum = parent(nodes[i], sum)
	}
	return sum
}

func parent(left, right node) node {
	var b [sumSize]byte
	copy(b[:], left[:])
	copy(b[sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// Sum appends the tree hash and the linear hash. Of no bytes, where
// implementations differ, the tree hash is the SHA-256 of nothing.
func (d *digest) Sum(b []byte) []byte {
	var open, linear node
	d.leaf.Sum(open[:0])
	linear = open
	if d.linear != nil {
		d.linear.Sum(linear[:0])
	}
	nodes := append([]node(nil), d.nodes...)
	if d.n%leafSize != 0 || d.n == 0 {
		nodes = append(nodes, open)
	}
	tree := root(nodes)
	return append(append(b, tree[:]...), linear[:]...)
}

// Reset makes d new.
func (d *digest) Reset() {
	d.n, d.linear, d.nodes = 0, nil, d.nodes[:0]
	d.leaf.Reset()
}

// Size returns the bytes of a sum.
func (d *digest) Size() int { return sumSize }

// BlockSize returns that of SHA-256.
func (d *digest) BlockSize() int { return sha256.BlockSize }

// MarshalBinary returns what UnmarshalBinary goes on from:
//
//	version(1) n(8) states of leaf and linear(108 each) nodes(32 each)
func (d *digest) MarshalBinary() ([]byte, error) {
	b := binary.BigEndian.AppendUint64([]byte{1}, uint64(d.n))
	b = append(b, state(d.leaf)...)
	linear := d.linear
	if linear == nil {
		linear = d.leaf
	}
	b = append(b, state(linear)...)
	for _, n := range d.nodes {
		b = append(b, n[:]...)
	}
	return b, nil
}

const stateSize = 108 // of SHA-256, as encoding.BinaryMarshaler gives it

var errState = errors.New("glacier digest: not a state")

// UnmarshalBinary takes up what MarshalBinary saved.
func (d *digest) UnmarshalBinary(b []byte) error {
	const head = 1 + 8
	if len(b) < head+2*stateSize || b[0] != 1 {
		return errState
	}
	n := int64(binary.BigEndian.Uint64(b[1:]))
	leaf, linear := sha256.New(), sha256.New()
	rest := b[head+2*stateSize:]
	if n < 0 || len(rest) != bits.OnesCount64(uint64(n/leafSize))*sha256.Size {
		return errState
	}
	if err := errors.Join(restore(leaf, b[head:head+stateSize]), restore(linear, b[head+stateSize:head+2*stateSize])); err != nil {
		return err
	}
	*d = digest{n: n, leaf: leaf}
	if n >= leafSize {
		d.linear = linear
	}
	for ; len(rest) > 0; rest = rest[sha256.Size:] {
		d.nodes = append(d.nodes, node(rest[:sha256.Size]))
	}
	return nil
}

// state is that of a SHA-256, which always can be had.
func state(h hash.Hash) []byte {
	b, _ := h.(encoding.BinaryMarshaler).MarshalBinary()
	return b
}

func restore(h hash.Hash, state []byte) error {
	return h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state)
}

// treeOf returns the tree hash of an archive from those of its parts, which
// are whole subtrees of one size but for the last.
func treeOf(parts []node) node {
	var nodes []node
	for i, sum := range parts {
		nodes = push(nodes, int64(i), sum)
	}
	return root(nodes)
}

// sums splits what a digest made of a part; false if it made nothing.
func sums(sum []byte) (tree node, linear string, ok bool) {
	if len(sum) != sumSize {
		return tree, "", false
	}
	return node(sum[:sha256.Size]), hex.EncodeToString(sum[sha256.Size:]), true
}

func (n node) String() string { return hex.EncodeToString(n[:]) }

// parseNode reads a hash as the service writes it.
func parseNode(s *string) (n node, ok bool) {
	if s == nil || len(*s) != 2*len(n) {
		return n, false
	}
	_, err := hex.Decode(n[:], []byte(*s))
	return n, err == nil
}
