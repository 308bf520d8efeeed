// Package link is the one http.RoundTripper that destinations share: the wire.
//
// It speaks HTTP/1.1 with kept-alive connections over TCP and TLS 1.2 or
// later, through a proxy and with a client certificate where it is told to,
// counts what crosses the wire, and ends a request on which no byte moves any
// more. It has no time limit for a request that progresses, however slowly: a
// part over a modem takes as long as it takes.
//
// Handshakes cost most on a metered link, so connections idle for minutes, and
// TLS sessions are resumed. Rates cap what is sent, and a Meter is asked before
// it costs anything. When the network has changed (package netwatch tells),
// Changed ends what cannot go on.
//
// It must never retry, log, follow redirects, show a proxy's password, or hold
// more of a body than its buffers.
package link
