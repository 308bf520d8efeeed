// Package hal says what a peripheral is to Dray: a Source of bytes.
//
// It holds the contract (Source, Reader, Mark, Position) and the framings that
// cut a byte stream into records. Each kind of peripheral is one folder below
// it: hal/serial, hal/file; hal/haltest has scripted fakes for tests.
//
// The root imports only the standard library. Nothing in hal logs, waits for
// flash, or knows that uploads exist.
package hal
