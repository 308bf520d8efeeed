package hal

import (
	"context"
	"time"
)

// A Source is a peripheral that produces bytes.
//
// Open may be called again after its Reader has been closed, and is: after
// every error but io.EOF, with backoff. One Reader of a Source is open at a time.
type Source interface {
	// Name is stable across restarts and says what is read ("serial /dev/ttyUSB0").
	// It holds no secret.
	Name() string

	// Waits says whether the peripheral can be made to wait by not reading it
	// (a pipe, a file), as against one that drops what is not read in time (a UART).
	Waits() bool

	// Open starts reading. resume is the Position that came with the last kept
	// byte, the zero Position if there is none: a source that can seek goes on
	// exactly behind that byte, any other ignores it. A peripheral that is not
	// there (yet) is an error that names it and says what is waited for.
	// Cancelling ctx ends Open; it does not end the Reader.
	Open(ctx context.Context, resume Position) (Reader, error)
}

// A Reader yields the bytes of a peripheral with what is known of them.
//
// Read is called from one goroutine, Close from any, also while Read waits.
type Reader interface {
	// Read waits for at least one byte, fills p as far as bytes are at hand and
	// describes them with m. n > 0 may come with an error; those bytes count.
	// io.EOF means that the source is finished for good; any other error means
	// that it has to be opened again. (0, m, nil) with m.Lost > 0 reports a loss
	// before the next byte is known; (0, zero Mark, nil) is allowed and means nothing.
	Read(p []byte) (n int, m Mark, err error)

	// Close releases the peripheral and unblocks Read. Closing twice is safe.
	Close() error
}

// A Mark is what a Reader knows of the bytes that it returned.
type Mark struct {
	// Position is where the source stands behind these bytes; zero if it cannot
	// seek. It is kept with the bytes and handed to the next Open.
	Position Position
	// Lost counts bytes that the peripheral dropped just before these bytes
	// (overrun, unplugged). LostUnknown says that some were, but not how many.
	Lost int64
	// Time is when the first of these bytes was read; zero means now.
	Time time.Time
}

// LostUnknown is the Mark.Lost of a loss whose size cannot be known, such as
// what a device sent while its cable was out.
const LostUnknown int64 = -1

// A Position is a place in a source that can seek, such as a file. It is
// 16 bytes so that each frame on flash can carry it.
type Position struct {
	ID     uint64 // which incarnation of the source: tells a rotated file from its successor; never 0 in a valid Position
	Offset int64  // bytes from its start, just behind the last byte read
}

// IsZero reports whether p says nothing.
func (p Position) IsZero() bool { return p == Position{} }
