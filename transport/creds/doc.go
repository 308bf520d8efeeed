// Package creds gives the keys that sign requests to AWS to a device: from a file,
// the environment, an AWS profile, a program, or AWS IoT Core in exchange for
// the device's X.509 certificate.
//
// An Issuer makes one attempt to get keys. A Provider holds what its issuer
// gave, and asks again when a file has changed, when the keys near their end, or
// when the service refuses them, so that keys rotate without a restart. It is an
// aws.CredentialsProvider; destinations have TellRefusals tell it of refusals.
//
// How long keys last is counted from the reply that brought them, by the
// reply's own Date, so that a device whose clock is wrong, or is set right
// meanwhile, neither drops good keys nor holds on to dead ones.
//
// The package must never show a secret in an error or a print, run a shell, log,
// keep a goroutine, or read anything that it was not pointed at.
package creds
