package serial

import (
	"errors"
	"fmt"
	"path/filepath"

	"go.bug.st/serial"
)

// maxBaud is above what any adapter does today (12 Mbaud) and below what
// overflows anything on the way to the driver.
const maxBaud = 50_000_000

// Config says which port to read and how. Port and Baud must be given; the
// zero values of the others mean 8N1 without flow control.
type Config struct {
	Port     string // absolute path of the device; /dev/serial/by-id/… names one adapter whatever socket it is in
	Baud     int    // bits a second; any rate the driver takes
	DataBits int    // 5, 6, 7 or 8; default 8
	Parity   string // none, odd, even, mark or space; default none
	StopBits string // "1", "1.5" (only with 5 data bits) or "2" (not with 5); default "1"
	Flow     string // none, rtscts or xonxoff; default none
}

// withDefaults returns c with every field said, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	if c.DataBits == 0 {
		c.DataBits = 8
	}
	for _, d := range []struct {
		field *string
		value string
	}{{&c.Parity, "none"}, {&c.StopBits, "1"}, {&c.Flow, "none"}} {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	switch {
	case c.Port == "":
		return c, errors.New("port is empty; give the path of a device, such as /dev/ttyUSB0")
	case !filepath.IsAbs(c.Port):
		return c, fmt.Errorf("port %q is not an absolute path, such as /dev/ttyUSB0", c.Port)
	case c.Baud == 0:
		return c, errors.New("baud is missing; say how fast the device sends, such as 115200")
	case c.Baud < 0 || c.Baud > maxBaud:
		return c, fmt.Errorf("baud is %d; it must be 1 to %d", c.Baud, maxBaud)
	case c.DataBits < 5 || c.DataBits > 8:
		return c, fmt.Errorf("data bits are %d; use 5, 6, 7 or 8", c.DataBits)
	case c.StopBits == "1.5" && c.DataBits != 5:
		return c, errors.New("1.5 stop bits exist only with 5 data bits; use 1 or 2")
	case c.StopBits == "2" && c.DataBits == 5:
		return c, errors.New("with 5 data bits a UART makes 1.5 stop bits of 2; use 1 or 1.5")
	}
	if _, ok := parities[c.Parity]; !ok {
		return c, fmt.Errorf("parity is %q; use none, odd, even, mark or space", c.Parity)
	}
	if _, ok := stopBits[c.StopBits]; !ok {
		return c, fmt.Errorf("stop bits are %q; use 1, 1.5 or 2", c.StopBits)
	}
	if _, ok := flows[c.Flow]; !ok {
		return c, fmt.Errorf("flow is %q; use none, rtscts or xonxoff", c.Flow)
	}
	return c, nil
}

// mode is what of a complete c the library sets.
func (c Config) mode() *serial.Mode {
	return &serial.Mode{
		BaudRate: c.Baud,
		DataBits: c.DataBits,
		Parity:   parities[c.Parity].lib,
		StopBits: stopBits[c.StopBits].lib,
		// No InitialStatusBits: a pseudo-terminal has no modem lines and
		// would refuse them; the driver raises DTR and RTS by itself.
	}
}
