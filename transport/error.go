package transport

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says what an error means for the caller: the one thing that decides
// what happens next.
type Kind uint8

// The kinds of error. The zero Kind is Temporary, so that what nobody
// classified is tried again and never taken for final.
const (
	Temporary Kind = iota // the service failed or its answer made no sense: try again
	Throttled             // the service asks for patience; see RetryAfter
	Offline               // no connection, or it broke: the outcome is unknown
	Denied                // credentials, permission or clock: an operator must act
	Gone                  // no such upload
	Missing               // Complete: the parts in Parts are missing or wrong
	Corrupt               // the bytes did not survive the way, or the body could not be read: nothing was stored
	Conflict              // the key is taken
	Invalid               // the request can never succeed as it is
)

var kindNames = [...]string{"temporary", "throttled", "offline", "denied", "gone", "missing", "corrupt", "conflict", "invalid"}

// String returns the kind's name in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Error is what every failed call of a Destination returns.
type Error struct {
	// Op is "put", "create", "upload part", "list parts", "complete", "abort", "find", …;
	// "credentials" in the cause of one that failed for want of them.
	Op         string
	Key        string        // the object's key
	Parts      []int         // part numbers, for Missing and for UploadPart
	Kind       Kind          //
	RetryAfter time.Duration // what the service asked for; 0 if it did not
	// Unknown: the call may have taken effect although it failed (its reply was
	// lost or made no sense). False is a promise that it has not.
	Unknown bool
	// Caller: it was denied for who asks or when (keys, clock, address, certificate),
	// not for what is asked, so that no other call would be let in either.
	Caller bool
	Err    error // the cause, and a hint if the operator can act; no secrets
}

// Error returns "op key [part n]: cause".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Key != "" {
		b.WriteByte(' ')
		b.WriteString(e.Key)
	}
	if len(e.Parts) > 0 {
		b.WriteString(" part ")
		b.WriteString(strings.Trim(fmt.Sprint(e.Parts), "[]"))
	}
	b.WriteString(": ")
	if e.Err != nil {
		b.WriteString(e.Err.Error())
	} else {
		b.WriteString(e.Kind.String())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the Kind of err: that of the *Error in its chain, Temporary
// if there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Temporary
}
