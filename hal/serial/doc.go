// Package serial reads serial ports: UARTs, USB adapters, pseudo-terminals.
//
// It stands on go.bug.st/serial and adds what an unattended reader needs: the
// speed and format are read back and must be what was asked for, the port is
// locked against a second reader, Close ends a Read, overruns and line errors
// are counted where the driver counts them, and flow control. Linux only.
//
// Bytes come as they were sent: none is translated, none swallowed (but for
// XON and XOFF, if they are asked for). A byte that the UART knows to be wrong
// (parity, framing) is dropped and counted as lost, not handed on as another;
// a break is a state of the line, not a byte.
//
// The package must never guess a speed, never write to the port, never wait
// for flash, and never touch a port other than its own.
package serial
