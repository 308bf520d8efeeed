// Command dray carries data off devices: it reads peripherals, keeps every
// byte on flash until a receipt proves that it is archived, and survives power
// cuts at any moment.
//
// This package is flags, wiring, signals and what is printed for people. It
// decides nothing about data: that is engine's. It must never print a secret
// and never write to the state folder itself, its control socket aside.
package main
