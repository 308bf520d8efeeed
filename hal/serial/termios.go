package serial

import (
	"fmt"
	"unsafe"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// Each setting with its name in the library and its bits in termios (see
// termios(3) and the kernel's Documentation/driver-api/serial).
var (
	parities = map[string]struct {
		lib   serial.Parity
		cflag uint32
	}{
		"none":  {serial.NoParity, 0},
		"odd":   {serial.OddParity, unix.PARENB | unix.PARODD},
		"even":  {serial.EvenParity, unix.PARENB},
		"mark":  {serial.MarkParity, unix.PARENB | unix.PARODD | unix.CMSPAR},
		"space": {serial.SpaceParity, unix.PARENB | unix.CMSPAR},
	}
	stopBits = map[string]struct {
		lib   serial.StopBits
		cflag uint32
	}{
		"1":   {serial.OneStopBit, 0},
		"1.5": {serial.TwoStopBits, unix.CSTOPB}, // the library refuses 1.5; the UART makes it of 2 at 5 data bits
		"2":   {serial.TwoStopBits, unix.CSTOPB},
	}
	flows = map[string]struct{ cflag, iflag uint32 }{
		"none":    {0, 0},
		"rtscts":  {unix.CRTSCTS, 0},
		"xonxoff": {0, unix.IXON | unix.IXOFF},
	}
	dataBits = map[int]uint32{5: unix.CS5, 6: unix.CS6, 7: unix.CS7, 8: unix.CS8}
)

const (
	formatCflag = unix.CSIZE
	parityCflag = unix.PARENB | unix.PARODD | unix.CMSPAR
	flowIflag   = unix.IXON | unix.IXOFF | unix.IXANY

	// Flags that would change, swallow or echo bytes.
	rawLflag = unix.ICANON | unix.ECHO | unix.ECHONL | unix.ISIG | unix.IEXTEN
	rawIflag = unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IUCLC | unix.PARMRK | unix.BRKINT

	// Drop what the UART knows to be wrong; without these two it would be
	// handed on as 0x00. Its counters still count it. And no 0x00 for a break.
	dropIflag = unix.INPCK | unix.IGNPAR | unix.IGNBRK
)

// shape sets in t what the library leaves out or sets otherwise. Speed, data
// bits, parity and stop bits are the library's.
func (c Config) shape(t *unix.Termios) {
	t.Iflag = t.Iflag&^(rawIflag|flowIflag) | dropIflag | flows[c.Flow].iflag
	t.Lflag &^= rawLflag
	t.Cflag = t.Cflag&^unix.CRTSCTS | flows[c.Flow].cflag | unix.CREAD | unix.CLOCAL
	t.Cflag &^= unix.CBAUD << unix.IBSHIFT // the input speed is the output speed
}

// accepted compares what the driver says it does with what was asked of it,
// since drivers correct what they cannot do and report success.
func (c Config) accepted(t *unix.Termios) error {
	// A UART divides its clock and a receiver bears 2 % well; more is another rate.
	if off := int64(t.Ospeed) - int64(c.Baud); max(off, -off)*50 > int64(c.Baud) {
		return fmt.Errorf("asked for %d baud, the port runs at %d; choose a rate that the port can do", c.Baud, t.Ospeed)
	}
	for _, f := range []struct {
		name, value       string
		have, mask, wants uint32
	}{
		{"data bits", fmt.Sprint(c.DataBits), t.Cflag, formatCflag, dataBits[c.DataBits]},
		{"parity", c.Parity, t.Cflag, parityCflag, parities[c.Parity].cflag},
		{"stop bits", c.StopBits, t.Cflag, unix.CSTOPB, stopBits[c.StopBits].cflag},
		{"flow", c.Flow, t.Cflag, unix.CRTSCTS, flows[c.Flow].cflag},
		{"flow", c.Flow, t.Iflag, flowIflag, flows[c.Flow].iflag},
		{"raw mode", "input", t.Iflag, rawIflag, 0},
		{"raw mode", "local", t.Lflag, rawLflag, 0},
	} {
		if f.have&f.mask != f.wants {
			return fmt.Errorf("the port did not accept %s %s; its driver cannot do it", f.name, f.value)
		}
	}
	return nil
}

// altering reports whether bytes that came in under t may have been changed,
// swallowed or held back, as compared with c.
func (c Config) altering(t *unix.Termios) bool {
	return t.Lflag&rawLflag != 0 || t.Iflag&rawIflag != 0 || t.Iflag&^flows[c.Flow].iflag&unix.IXON != 0
}

// standard are the rates that the older calls can name, by their CBAUD bits.
var standard = map[uint32]uint32{
	unix.B50: 50, unix.B75: 75, unix.B110: 110, unix.B134: 134, unix.B150: 150, unix.B200: 200,
	unix.B300: 300, unix.B600: 600, unix.B1200: 1200, unix.B1800: 1800, unix.B2400: 2400,
	unix.B4800: 4800, unix.B9600: 9600, unix.B19200: 19200, unix.B38400: 38400, unix.B57600: 57600,
	unix.B115200: 115200, unix.B230400: 230400, unix.B460800: 460800, unix.B500000: 500000,
	unix.B576000: 576000, unix.B921600: 921600, unix.B1000000: 1000000, unix.B1152000: 1152000,
	unix.B1500000: 1500000, unix.B2000000: 2000000, unix.B2500000: 2500000, unix.B3000000: 3000000,
	unix.B3500000: 3500000, unix.B4000000: 4000000,
}

// getTermios returns the line settings with the speed as a number. Where
// TCGETS2 does not exist (user-mode emulators), the speed is worked out.
func getTermios(fd int) (*unix.Termios, error) {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS2)
	if err != unix.ENOSYS {
		return t, err
	}
	if t, err = unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
		return nil, err
	}
	t.Ospeed = standard[t.Cflag&unix.CBAUD]
	t.Ispeed = t.Ospeed
	return t, nil
}

// setTermios is the reverse of getTermios.
func setTermios(fd int, t *unix.Termios) error {
	err := unix.IoctlSetTermios(fd, unix.TCSETS2, t)
	if err == unix.ENOSYS {
		err = unix.IoctlSetTermios(fd, unix.TCSETS, t)
	}
	return err
}

// counters is the kernel's struct serial_icounter_struct, <linux/serial.h>:
// what the driver counted since the device appeared. They wrap.
type counters struct {
	CTS, DSR, RNG, DCD            int32
	RX, TX                        int32
	Frame, Overrun, Parity, Break int32
	BufOverrun                    int32
	_                             [9]int32
}

// readCounters asks the driver for its counters. Many have none (ENOTTY, EINVAL).
func readCounters(fd int) (c counters, err error) {
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGICOUNT, uintptr(unsafe.Pointer(&c))); e != 0 {
		return counters{}, e
	}
	return c, nil
}

// lostSince returns how many bytes the driver dropped between before and c:
// overruns of the UART and of the driver's buffer, and bytes that came wrong.
func (c counters) lostSince(before counters) int64 {
	return int64(uint32(c.Frame-before.Frame)) + int64(uint32(c.Overrun-before.Overrun)) +
		int64(uint32(c.Parity-before.Parity)) + int64(uint32(c.BufOverrun-before.BufOverrun))
}
