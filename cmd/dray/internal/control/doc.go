// Package control is the door of a running daemon: a Unix socket that answers
// over HTTP, and the client of it.
//
//	GET  /status          engine.Status as JSON
//	POST /flush?stream=S  seals what is open; without stream, of every stream
//	GET  /ownership       engine.Ownership as JSON
//	GET  /metrics         Prometheus text
//
// Only the daemon's own user (and root) may connect: the socket has mode 0600
// from the moment that it exists. What comes in is bounded in size, number and
// time. The package must never offer more than metrics on a network address.
package control
