package hal

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"time"
)

// Quiet is how long nothing must have come from a peripheral that cannot wait
// for its silence to count as a Pause: well above the 16 ms for which a USB
// serial adapter may sit on a byte.
const Quiet = 100 * time.Millisecond

// A Framer cuts a byte stream into records and counts what cannot be one. How
// the stream was cut into chunks makes no difference to the records (raw, which
// has no boundaries, excepted). It never makes one record of pieces of two.
//
// The caller keeps the bytes that Next has not consumed, and tells the Framer
// what it knows of the stream between two calls:
//
//   - bytes are missing here (Mark.Lost is not 0): Lost, then what is in hand
//     through Next, which hands it back as malformed;
//   - another file begins here (Mark.Position.ID changed without a loss): what
//     is in hand through Next with atEOF, as a last unterminated line is whole;
//   - the next byte begins a record for certain (a file's first byte): Boundary;
//   - nothing came for Quiet, and the source is not one that Waits: Pause.
//
// A Framer belongs to one goroutine.
type Framer struct {
	f         Framing
	max       int
	adrift    bool  // where the next record begins is not known
	skip      int64 // length: bytes still to come of a record that is too long
	malformed int64
}

// NewFramer returns a Framer at the beginning of a record. f must have passed
// Check; what has not is cut as raw, so that nothing is lost by it.
func NewFramer(f Framing) *Framer {
	if f.Check() != nil {
		f = Framing{}
	}
	return &Framer{f: f, max: f.Limit()}
}

// Next takes the first record off data, which begins with the bytes that were
// not consumed before. The record is the first advance bytes of data, not a copy.
//
//	advance > 0, record set   one record
//	advance > 0, record nil   so many malformed bytes, counted
//	advance = 0               more bytes are needed; never so when data has
//	                          Limit bytes, nor with atEOF unless data is empty
//
// atEOF says that nothing follows data. A last line without its newline is then
// a record; an incomplete record of another kind is malformed.
//
// A line longer than Max is malformed up to and including its newline. A
// length prefix that makes a record longer than Max is believed, as all others
// are: so many bytes are malformed, and the next prefix is behind them.
func (r *Framer) Next(data []byte, atEOF bool) (advance int, record []byte) {
	if len(data) == 0 {
		return 0, nil
	}
	n, ok := r.cut(data, atEOF)
	if ok {
		return n, data[:n:n]
	}
	r.malformed += int64(n)
	return n, nil
}

// cut returns how many bytes belong together and whether they are a record.
func (r *Framer) cut(data []byte, atEOF bool) (n int, ok bool) {
	switch r.f.Kind {
	case "lines":
		return r.line(data, atEOF)
	case "fixed":
		return r.sized(data, atEOF, int64(r.f.Size))
	case "length":
		return r.prefixed(data, atEOF)
	default:
		return min(len(data), r.max), true
	}
}

// line cuts behind the next newline. A line that reaches Max without one would
// only be longer with it; so Limit bytes in hand are always enough to decide.
func (r *Framer) line(data []byte, atEOF bool) (n int, ok bool) {
	end := bytes.IndexByte(data, '\n') + 1
	switch {
	case end > 0:
		whole := !r.adrift && end <= r.max
		r.adrift = false
		return end, whole
	case r.adrift || len(data) >= r.max:
		r.adrift = true
		return len(data), false
	case atEOF:
		return len(data), true
	}
	return 0, false
}

// prefixed cuts behind what the length prefix announces.
func (r *Framer) prefixed(data []byte, atEOF bool) (n int, ok bool) {
	if r.adrift || r.skip > 0 || len(data) < r.f.Size {
		return r.sized(data, atEOF, int64(r.f.Size))
	}
	var body uint32
	switch {
	case r.f.Size == 1:
		body = uint32(data[0])
	case r.f.Size == 2 && r.f.LittleEndian:
		body = uint32(binary.LittleEndian.Uint16(data))
	case r.f.Size == 2:
		body = uint32(binary.BigEndian.Uint16(data))
	case r.f.LittleEndian:
		body = binary.LittleEndian.Uint32(data)
	default:
		body = binary.BigEndian.Uint32(data)
	}
	want := int64(r.f.Size) + int64(body)
	if want > int64(r.max) {
		r.skip = want
	}
	return r.sized(data, atEOF, want)
}

// sized cuts want bytes off data, or passes over what is to be skipped.
func (r *Framer) sized(data []byte, atEOF bool, want int64) (n int, ok bool) {
	switch {
	case r.adrift:
		return len(data), false
	case r.skip > 0:
		n = int(min(r.skip, int64(len(data))))
		r.skip -= int64(n)
		return n, false
	case want <= int64(len(data)):
		return int(want), true
	case atEOF:
		return len(data), false
	}
	return 0, false
}

// Lost says that bytes are missing between those in hand and those to come.
// What is in hand is half a record at best: pass it through Next, which calls
// it malformed. After that:
//
//   - lines: all up to and including the next newline is malformed;
//   - fixed and length: nothing in the bytes tells where a record begins, so
//     all is malformed until a Pause or a Boundary;
//   - raw: nothing is malformed; there are no records to be torn.
func (r *Framer) Lost() {
	r.adrift, r.skip = true, 0
}

// Pause says that a peripheral that cannot wait has sent nothing for Quiet, or
// was opened anew: with fixed and length framing the next byte is taken for the
// beginning of a record, if that was not known. It ends the skipping of a
// record that is too long as well, whose prefix may have been noise. Lines
// take no notice: their newline is the better boundary. Do not call it for a
// source that Waits: a pause in a pipe says nothing.
func (r *Framer) Pause() {
	if r.f.Kind != "lines" {
		r.Boundary()
	}
}

// Boundary says that the next byte certainly begins a record.
func (r *Framer) Boundary() {
	r.adrift, r.skip = false, 0
}

// Malformed returns how many bytes could not be made into records so far.
func (r *Framer) Malformed() int64 { return r.malformed }

// Split returns f as a split function for one bufio.Scanner, whose buffer must
// be able to hold Limit bytes. Tokens are records, framing bytes included.
// Malformed bytes are passed over: advance is greater than the token by them.
// It never returns an error. f must have passed Check.
func (f Framing) Split() bufio.SplitFunc {
	r := NewFramer(f)
	return func(data []byte, atEOF bool) (advance int, token []byte, err error) {
		// Go on behind malformed bytes at once: a Scanner at its end of file
		// stops at the first call that yields no token.
		for {
			n, record := r.Next(data[advance:], atEOF)
			advance += n
			if n == 0 || record != nil {
				return advance, record, nil
			}
		}
	}
}
