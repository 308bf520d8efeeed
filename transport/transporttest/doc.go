// Package transporttest proves that a destination keeps the contract of
// package transport, and has what such proof needs: a real S3 server
// (Gateway), a proxy that breaks connections on command (Proxy), a body that
// lies (Body).
//
// It is for tests, the bench and the lab. It must never be part of a Dray
// binary, and it holds nothing that knows one destination from another.
package transporttest
