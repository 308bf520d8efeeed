// Package transport says what an archive is to Dray: a Destination of objects.
//
// It holds the contract (Destination, Body, Error and the shapes that pass
// between them). Each kind of destination is one folder below it
// (transport/s3, transport/local, …); transport/link is the one
// http.RoundTripper that they share; transport/transporttest proves that a
// destination keeps the contract.
//
// Uploading needs a Destination and no more. What operators ask for besides (a
// list of what is there, a trial of all that may be refused) are the optional
// Catalogue and Examiner.
//
// A destination makes one attempt a call and says what came of it. It never
// retries, never logs, and never decides what to do next: that is engine's.
// The root imports only the standard library.
package transport
