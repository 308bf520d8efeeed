package transport

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A Checked body is read once, in order, and compared with its announced
// checksum as it goes. The last bytes are held back until they are known to be
// right: a body that turns out wrong is never complete on the wire.
type Checked struct {
	body Body
	size int64
	crc  uint32 // announced

	at  int64  // position
	got uint32 // CRC of the bytes read in order
	sum int64  // how many bytes got covers
	err error  // why the body could not be sent
}

var errOutOfOrder = errors.New("body is not read in order")

// NewChecked returns body, which must have size bytes and that CRC32C, rewound.
// The result is nil if it has another size.
func NewChecked(body Body, size int64, crc uint32) (*Checked, error) {
	if body.Size() != size {
		return nil, fmt.Errorf("body has %d bytes, announced are %d", body.Size(), size)
	}
	c := &Checked{body: body, size: size, crc: crc}
	_, err := c.Seek(0, io.SeekStart)
	return c, err
}

// Read returns the next bytes, io.EOF after exactly size right ones.
func (c *Checked) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.at != c.sum {
		return 0, c.fail(errOutOfOrder)
	}
	n, err := c.body.Read(p)
	c.at += int64(n)
	c.sum += int64(n)
	c.got = crc32.Update(c.got, Castagnoli, p[:n])
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return n, c.fail(fmt.Errorf("read body: %w", err))
	case c.at > c.size:
		return 0, c.fail(fmt.Errorf("body has more than %d bytes", c.size))
	case c.at == c.size && c.got != c.crc:
		return 0, c.fail(fmt.Errorf("body has CRC32C %08x, announced %08x: %w", c.got, c.crc, ErrChecksum))
	case err != nil && c.at < c.size:
		return n, c.fail(fmt.Errorf("body ends after %d of %d bytes: %w", c.at, c.size, io.ErrUnexpectedEOF))
	}
	return n, err
}

func (c *Checked) fail(err error) error {
	c.err = err
	return err
}

// Seek serves the SDK, which seeks to learn the length and to rewind.
func (c *Checked) Seek(offset int64, whence int) (int64, error) {
	n, err := c.body.Seek(offset, whence)
	if err != nil {
		return n, c.fail(fmt.Errorf("seek body: %w", err))
	}
	c.at = n
	if n == 0 {
		c.sum, c.got = 0, 0
	}
	return n, nil
}

// Err returns why the body could not be sent; nil if it was or may yet be.
func (c *Checked) Err() error { return c.err }

// Taken returns how many bytes were read since the body was last rewound.
func (c *Checked) Taken() int64 { return c.sum }

// Sent reports whether the whole body went out.
func (c *Checked) Sent() bool { return c.err == nil && c.sum == c.size }
