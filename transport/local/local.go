package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed-7270d448/dray/transport"
)

// Config says where objects go. Only Path is needed.
type Config struct {
	Path string // folder for the objects; must exist whenever a call is made, else the call fails with Offline
	// Mount says that Path is the root of a mounted file system: a stick or a
	// network share. While nothing is mounted there, calls fail with Offline
	// instead of filling the disk below the mount point.
	Mount    bool
	PartSize int64 // bytes; default 8 MiB, at least 4 KiB
}

// Limits of what a Destination takes, in bytes.
const (
	DefaultPartSize = 8 << 20
	MinPart         = 4 << 10
	maxObject       = 1 << 50
	maxParts        = 100_000
)

// Destination stores objects as files. It is safe for concurrent use, holds
// nothing open between calls, and starts no goroutine.
type Destination struct {
	path     string
	mount    bool
	partSize int64
	gate     gate
}

var _ transport.Destination = (*Destination)(nil)

// New checks c. It touches no file: the path may come to exist later.
func New(c Config) (*Destination, error) {
	if c.Path == "" {
		return nil, errors.New("local destination: path is empty")
	}
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return nil, fmt.Errorf("local destination: path %q: %w", c.Path, err)
	}
	if c.PartSize == 0 {
		c.PartSize = DefaultPartSize
	}
	if c.PartSize < MinPart || c.PartSize > maxObject {
		return nil, fmt.Errorf("local destination: part size %d: must be %d to %d bytes", c.PartSize, int64(MinPart), int64(maxObject))
	}
	return &Destination{path: path, mount: c.Mount, partSize: c.PartSize}, nil
}

// Limits returns what a file takes: nearly anything.
func (d *Destination) Limits() transport.Limits {
	return transport.Limits{
		MinPart:   MinPart,
		MaxPart:   maxObject,
		MaxParts:  maxParts,
		MaxObject: maxObject,
		MaxPut:    maxObject,
		PartSize:  d.partSize,
	}
}

// begin checks what every call must: the object, the context, and that the
// path is there. The caller closes root.
func (d *Destination) begin(ctx context.Context, op string, o transport.Object) (root *os.Root, err error) {
	if err := o.Check(); err != nil {
		return nil, &transport.Error{Op: op, Key: o.Key, Kind: transport.Invalid, Err: err}
	}
	if first, _, _ := strings.Cut(o.Key, "/"); first == hidden {
		return nil, &transport.Error{Op: op, Key: o.Key, Kind: transport.Invalid, Err: fmt.Errorf("keys must not begin with %q: Dray's own folder", hidden)}
	}
	return d.open(ctx, op, o.Key)
}

// open is begin without a look at the object: key only stands in errors.
func (d *Destination) open(ctx context.Context, op, key string) (root *os.Root, err error) {
	if err := ctx.Err(); err != nil {
		return nil, fail(op, key, err)
	}
	root, err = os.OpenRoot(d.path)
	if err == nil && d.mount {
		if err = d.checkMounted(); err != nil {
			err = errors.Join(err, root.Close())
		}
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, errNotMounted) {
		err = &cause{kind: transport.Offline, err: fmt.Errorf("%w; is it mounted?", err)}
	}
	if err != nil {
		return nil, fail(op, key, err)
	}
	return root, nil
}

var errNotMounted = errors.New("nothing is mounted there")

// checkMounted compares the file systems of the path and of the folder above.
func (d *Destination) checkMounted() error {
	var here, above unix.Stat_t
	if err := unix.Stat(d.path, &here); err != nil {
		return &os.PathError{Op: "stat", Path: d.path, Err: err}
	}
	if err := unix.Stat(filepath.Dir(d.path), &above); err != nil {
		return &os.PathError{Op: "stat", Path: filepath.Dir(d.path), Err: err}
	}
	if here.Dev == above.Dev && here.Ino != above.Ino {
		return fmt.Errorf("%s: %w", d.path, errNotMounted)
	}
	return nil
}

// cause is an error below a call's own: what fail makes the call's Error of.
type cause struct {
	kind    transport.Kind
	parts   []int
	unknown bool // the call may have taken effect all the same
	err     error
}

func (c *cause) Error() string { return c.err.Error() }
func (c *cause) Unwrap() error { return c.err }

// unsure marks err as that of a call that may have taken effect.
func unsure(err error) error {
	c := cause{kind: kindOf(err), err: err}
	if inner := (*cause)(nil); errors.As(err, &inner) {
		c = *inner
		c.err = err
	}
	c.unknown = true
	return &c
}

// fail makes err the Error of a call. Its Kind is that of the cause in it,
// else it follows from the system's errno.
func fail(op, key string, err error) *transport.Error {
	e := &transport.Error{Op: op, Key: key, Kind: kindOf(err), Err: err}
	if c := (*cause)(nil); errors.As(err, &c) {
		e.Kind, e.Parts, e.Unknown = c.kind, c.parts, c.unknown
	}
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		e.Err = fmt.Errorf("%w; free some space there", err)
	case e.Kind == transport.Denied:
		e.Err = fmt.Errorf("%w; is it mounted read-only, and may this user write there?", err)
	}
	return e
}

func kindOf(err error) transport.Kind {
	is := func(errnos ...error) bool {
		return slices.ContainsFunc(errnos, func(e error) bool { return errors.Is(err, e) })
	}
	switch {
	case is(unix.EROFS, unix.EACCES, unix.EPERM):
		return transport.Denied
	case is(unix.ENODEV, unix.ENXIO, unix.ENOTCONN, unix.EHOSTDOWN, unix.EHOSTUNREACH, unix.ETIMEDOUT):
		return transport.Offline
	case is(unix.ENOTDIR, unix.EISDIR): // a file where the key needs a folder, or the reverse
		return transport.Conflict
	case is(unix.ENAMETOOLONG, unix.EINVAL, unix.EFBIG): // what this file system cannot name or hold
		return transport.Invalid
	}
	return transport.Temporary
}
