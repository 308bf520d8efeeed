// Package s3 is the destination in a bucket of Amazon S3 or of a server that
// speaks its protocol.
//
// Each call is one attempt of the SDK's client, without its retries, its
// upload managers and its defaults for checksums. What S3 servers do not agree
// on is settled here and nowhere else:
//
//   - Every part and object carries its CRC32C as a plain header, and the body
//     is checked against it while it is sent, so that a wrong byte is never
//     sent to its end even to a server that ignores checksums.
//   - A success without an ETag is no success: captive portals answer 200 to
//     anything. Nor is one that came before the whole body was sent.
//   - Objects are made with If-None-Match, and who made an object is told by
//     its identity metadata, size and checksum, never by its ETag.
//   - A Complete or Put that was refused because it may already have happened
//     (no such upload, precondition failed, server error, no ETag) is settled
//     by asking for the object.
//
// The package must never retry, log, buffer a body, or let the SDK read
// configuration from its surroundings.
package s3
