package transport

import (
	"context"
	"hash"
	"io"
	"time"
)

// A Destination stores objects sent whole or in parts.
//
// It is safe for concurrent use. Each call makes exactly one attempt, starts
// no goroutine that outlives it, and fails with *Error. A call that returns nil
// has the destination's own word that the effect is durable.
type Destination interface {
	// Limits says what the destination takes. Constant after construction.
	Limits() Limits

	// Put stores a whole object in one request. If the key is taken it fails
	// with Conflict where the destination can tell, and changes nothing.
	Put(ctx context.Context, o Object, body Body) (Receipt, error)

	// Create begins a multipart upload and returns its ID. Its reply may be
	// lost: then an upload without an owner stays behind, which Find sees.
	Create(ctx context.Context, o Object) (uploadID string, err error)

	// UploadPart stores one part. The same number again replaces the former bytes.
	UploadPart(ctx context.Context, u Upload, p Part, body Body) (PartReceipt, error)

	// Parts lists what the destination holds of an unfinished upload, in
	// ascending order, without any omission.
	Parts(ctx context.Context, u Upload) ([]PartReceipt, error)

	// Complete makes the parts, numbered from 1 without a hole, into the object.
	// It can be repeated: after a lost reply it finds the object and succeeds.
	// u.Object has its final Size. Wrong or lost parts: Missing, with Parts.
	Complete(ctx context.Context, u Upload, parts []PartReceipt) (Receipt, error)

	// Abort ends an unfinished upload and frees what it holds. An upload that
	// does not exist is success.
	Abort(ctx context.Context, u Upload) error

	// Find says what the destination holds under exactly this key: unfinished
	// uploads (oldest first) and the finished object, nil if there is none.
	// Denied means that the answer is not to be had. A destination that can
	// give one half only returns that half with the error; uploads that is not nil
	// says that they were listed, be there none.
	Find(ctx context.Context, key string) (uploads []Upload, obj *Stored, err error)
}

// Limits are what a destination takes. Sizes are in bytes.
type Limits struct {
	MinPart   int64 // least size of a part that is not the last
	MaxPart   int64 // greatest size of a part
	PowerOf2  bool  // a part size must be MinPart times a power of two
	MaxParts  int   // greatest number of parts of one object
	MaxObject int64 // greatest size of an object; 0: MaxPart*MaxParts
	MaxPut    int64 // greatest size of a Put; 0: never Put, use parts
	PartSize  int64 // the part size to use where nothing else is asked for

	// Once says that what a call answers may not be had a second time, as the only
	// name of an archive, which Find then never sees: so none is made while answers
	// cannot be written down. Else calls go on meanwhile, since repeating them leads
	// to the same object.
	Once bool
	// MaxIdle is how long an upload lasts to which no part is added; then it is
	// Gone. 0: for ever.
	MaxIdle time.Duration

	// Hash names the digest that UploadPart and Put need besides CRC32C, which is
	// always there; empty: none. The name is the destination's own, goes into
	// durable state with each object, and stays with it when the config changes.
	Hash string
	// NewHash makes the digest of that name, nil if the name is not known. It must
	// implement encoding.BinaryMarshaler and encoding.BinaryUnmarshaler, so that a
	// restart goes on in the middle of a part. May be nil if Hash is empty.
	NewHash func(name string) hash.Hash
}

// An Object is what is to be stored. It does not change once its upload has begun,
// save that Size, CRC32C and Sum become known.
type Object struct {
	Key      string            // where: slash-separated, relative, clean; set by engine
	Size     int64             // bytes; -1 while it is still growing (Create only)
	CRC32C   uint32            // Castagnoli CRC of all bytes; valid if Size >= 0
	Hash     string            // name of the digest of its parts, as in Limits; may differ from the one there now
	Sum      []byte            // Put: that digest of all bytes; nil if Hash is empty
	Metadata map[string]string // lower-case ASCII names; printable ASCII values; under 2 KB in all
	PartSize int64             // Create: bytes of each part but the last; 0: that of Limits
}

// An Upload is an unfinished multipart upload.
type Upload struct {
	ID       string
	Object   Object
	PartSize int64 // bytes of each part but the last; 0 in what Find returns
	// Tried: a Complete may have been sent before, and no reply to it was seen.
	Tried bool
}

// A Part is one part of an upload.
type Part struct {
	Number int    // from 1
	Offset int64  // bytes from the object's start: (Number-1) * PartSize
	Size   int64  // bytes
	CRC32C uint32 // Castagnoli CRC of its bytes
	Sum    []byte // the digest that Object.Hash names, of its bytes; nil if there is none
}

// A PartReceipt is a destination's word for a part that it holds.
type PartReceipt struct {
	Number int
	Size   int64
	CRC32C uint32 // as sent; from Parts: as the destination has it, if HasCRC
	HasCRC bool   // CRC32C is known
	Sum    []byte // as sent, or as the destination has it
	ETag   string // the destination's name for these bytes; opaque
}

// A Receipt is a destination's word for a finished object. It is what frees
// the bytes on flash.
type Receipt struct {
	Size      int64
	ETag      string // opaque; may be empty
	Checksum  string // "crc32c:" and standard base64 of the full-object value where the destination confirmed one, or another "algorithm:value"; empty if none
	ArchiveID string // Glacier's only name for the object
	Location  string // where the destination says it is; may be empty
	InDoubt   string // not empty: the service's rules leave the outcome unknowable; says why and what to look for
}

// Stored is a finished object as a destination describes it.
type Stored struct {
	Size     int64
	ETag     string
	Checksum string            // as in Receipt
	Metadata map[string]string // lower-case names; nil if the destination does not give it
}

// A Body is a run of payload bytes that can be read again from any place.
// Seek to its end and back is cheap and reads nothing. A read that fails its
// checksum returns an error that is not the destination's fault; destinations
// return it wrapped, with Kind Corrupt.
type Body interface {
	io.ReadSeeker
	Size() int64
}
