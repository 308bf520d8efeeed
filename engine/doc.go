// Package engine turns streams into objects and objects into finished uploads.
//
// It is Dray's library API: New validates a Config and starts nothing, Run owns
// every goroutine, Append and Sync feed a stream from the embedding program,
// Status is a snapshot, Flush seals what is open.
//
// The engine decides (what to cut, what to send next, when to try again); wal
// remembers, hal reads, transport sends. It must never hold a payload part in
// memory, never free bytes that have no durable receipt, and never retry
// anywhere but at the pace gate of a destination.
package engine
