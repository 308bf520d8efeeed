// Package transporttest proves that a destination keeps the contract of
// package transport, and has what such proof needs: a real S3 server
// (Gateway), a proxy that breaks connections on command (Proxy), a strict stand-in
// for what no server to install has (Simulator, and Vault for Glacier), a body that
// lies (Body).
//
// It is for tests, the bench and the lab. It must never be part of a Dray
// binary, nor share code with the destinations that it judges: it signs,
// checks and answers as S3's own documents say, without the SDK.
package transporttest
