// Package demo shows Dray's whole path on one machine, with nothing installed:
// a pseudo-terminal as sensor, the real serial code, a daemon of its own in
// another process that is killed with SIGKILL half way, a folder as archive,
// and at the end a comparison byte for byte.
//
// The daemon under show is an ordinary one: the demo knows it only by its
// config file, its control socket, its receipts and its archive.
package demo
