package demo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// fixEvery is the pace of the sensor: 25 fixes a second, as good receivers
// have them. A fix is two sentences of about 150 bytes in all, so the line is
// in use a third of the time at 115200 baud.
const fixEvery = 40 * time.Millisecond

// A boat sails a slow curve off Heligoland. Each fix has a later time than the
// one before, so no sentence occurs twice and a lost one shows.
type boat struct {
	at       time.Time
	lat, lon float64 // degrees, north and east
	course   float64 // degrees from north
}

const knots = 6.4

// fix moves the boat on and returns what a GPS receiver says: RMC and GGA.
func (b *boat) fix() []byte {
	b.at = b.at.Add(fixEvery)
	b.course = math.Mod(b.course+0.05, 360)
	minutes := knots * fixEvery.Hours() // a knot is a minute of latitude an hour
	sin, cos := math.Sincos(b.course * math.Pi / 180)
	b.lat += minutes / 60 * cos
	b.lon += minutes / 60 * sin / math.Cos(b.lat*math.Pi/180)

	clock := b.at.Format("150405.00")
	place := fmt.Sprintf("%s,N,%s,E", degrees(b.lat, 2), degrees(b.lon, 3))
	rmc := fmt.Sprintf("GPRMC,%s,A,%s,%05.1f,%05.1f,%s,,,A", clock, place, knots, b.course, b.at.Format("020106"))
	gga := fmt.Sprintf("GPGGA,%s,%s,1,09,0.9,%.1f,M,45.1,M,,", clock, place, 2+math.Sin(b.course))
	return append(sentence(rmc), sentence(gga)...)
}

// degrees returns an angle as NMEA 0183 writes it: degrees, then minutes.
func degrees(angle float64, digits int) string {
	whole := math.Floor(angle)
	minutes := math.Round((angle-whole)*60*1e5) / 1e5
	if minutes >= 60 {
		whole, minutes = whole+1, 0
	}
	return fmt.Sprintf("%0*d%08.5f", digits, int(whole), minutes)
}

// sentence frames body: '$', the XOR of its bytes as checksum, CR LF.
func sentence(body string) []byte {
	var sum byte
	for i := range len(body) {
		sum ^= body[i]
	}
	return fmt.Appendf(nil, "$%s*%02X\r\n", body, sum)
}

// A sensor is a GPS receiver at the far end of a pseudo-terminal.
type sensor struct {
	Port string // what the daemon opens

	far  *os.File // where the sensor writes
	near *os.File // held open, so that the terminal outlives the daemon

	mu   sync.Mutex
	sent []byte
}

// newSensor makes the pseudo-terminal. Nothing is sent before run.
func newSensor() (*sensor, error) {
	far, near, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("open a pseudo-terminal: %w", err)
	}
	s := &sensor{Port: near.Name(), near: near}
	// A descriptor that the runtime can poll: a write that waits then ends
	// with a deadline. The library's own descriptor blocks.
	fd, err := unix.FcntlInt(far.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err = errors.Join(err, far.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("open a pseudo-terminal: %w", err), near.Close())
	}
	err = unix.SetNonblock(fd, true)
	s.far = os.NewFile(uintptr(fd), "sensor")
	// Raw, as a wire is: without it the terminal would echo to the sensor.
	if err = errors.Join(err, makeRaw(near)); err != nil {
		return nil, errors.Join(fmt.Errorf("set up %s: %w", s.Port, err), s.close())
	}
	return s, nil
}

func makeRaw(f *os.File) error {
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8 | unix.CREAD
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t)
}

// release takes back the exclusive use that a killed daemon had of the port.
// A real port forgets it when its last user is gone; this one stays open.
func (s *sensor) release() error {
	if err := unix.IoctlSetInt(int(s.near.Fd()), unix.TIOCNXCL, 0); err != nil {
		return fmt.Errorf("release %s: %w", s.Port, err)
	}
	return nil
}

// run sends fixes until ctx is cancelled, always whole ones, and returns nil.
func (s *sensor) run(ctx context.Context) error {
	b := boat{at: time.Now().UTC().Truncate(fixEvery), lat: 54.1825, lon: 7.8857, course: 215}
	ticker := time.NewTicker(fixEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		// Nobody reads for so long that the terminal's buffer is full: give up.
		err := s.far.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if err != nil {
			return fmt.Errorf("sensor: %w", err)
		}
		fix := b.fix()
		n, err := s.far.Write(fix)
		s.mu.Lock()
		s.sent = append(s.sent, fix[:n]...)
		s.mu.Unlock()
		if err != nil {
			return fmt.Errorf("sensor: %w", err)
		}
	}
}

// count returns how many bytes went out.
func (s *sensor) count() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.sent))
}

// all returns what went out. Call it when run has returned.
func (s *sensor) all() []byte { return s.sent }

func (s *sensor) close() error {
	err := errors.Join(s.far.Close(), s.near.Close())
	if errors.Is(err, syscall.EIO) { // the other end went first
		return nil
	}
	return err
}
