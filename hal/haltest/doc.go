// Package haltest has scripted peripherals for tests.
//
// A Script is a hal.Source that does what its steps say, in order, and tells
// the test what was not done to it: steps that nobody read, Readers that nobody
// closed, calls that break the contract. Its pauses run on the clock of a
// testing/synctest bubble if there is one. It must never be part of a program.
package haltest
