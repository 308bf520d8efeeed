package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport/local"
)

// compress shows what compression saves on flash and link, for lines of a GPS
// receiver and of a data logger, and syncs of several sizes: each ends a frame.
// Half way the engine ends without a last sync, in the middle of an object, and
// another one goes on. What is archived is decompressed and compared. At last the
// daemon itself carries a file with each, for its memory and time.
func compress(ctx context.Context, args []string) (_ *report, err error) {
	fs := flag.NewFlagSet("compress", flag.ContinueOnError)
	size := fs.Int("n", 1<<20, "bytes of lines")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(scratch(), "dray-lab-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	out := &report{}
	out.figure("lines, bytes a sync", "%-6s %10s %10s   %s", "", "on flash", "on the link", "of what was read")
	for _, lines := range []struct {
		name string
		line func(i int) string
	}{{"GPS", gpsLine}, {"CSV", csvLine}} {
		for _, batch := range []int{1 << 10, 10 << 10, 64 << 10} {
			for _, c := range []engine.Compress{engine.Plain, engine.Zstd, engine.Gzip} {
				p := packed{dir: filepath.Join(work, "one"), compress: c, batch: batch}
				for i := 0; len(p.want) < *size; i++ {
					p.want = append(p.want, lines.line(i)...)
				}
				if err := errors.Join(p.run(ctx, out), os.RemoveAll(p.dir)); err != nil {
					return out, err
				}
				n := float64(len(p.want))
				out.figure(fmt.Sprintf("%s, %d KiB", lines.name, batch>>10), "%-6s %10d %10d   %.2f, %.2f", c, p.flash, p.link, float64(p.flash)/n, float64(p.link)/n)
			}
		}
	}
	return out, daemonMemory(ctx, work, out)
}

// packed is one way to compress, and what came of it.
type packed struct {
	dir         string
	compress    engine.Compress
	batch       int // bytes between two syncs
	want        []byte
	flash, link int64
}

func (p *packed) run(ctx context.Context, out *report) error {
	archive := filepath.Join(p.dir, "archive")
	if err := os.MkdirAll(archive, 0o755); err != nil {
		return err
	}
	to, err := local.New(local.Config{Path: archive})
	if err != nil {
		return err
	}
	open := func() (*engine.Engine, error) {
		return engine.New(engine.Config{StateDir: filepath.Join(p.dir, "state"), Device: "lab", Drain: true,
			Spool:        engine.Spool{MaxBytes: 128 << 20, MinFree: -1},
			Streams:      []engine.Stream{{Name: "s", Compress: p.compress, Object: engine.Object{MaxBytes: 256 << 10}, Destination: "d"}},
			Destinations: []engine.Destination{{Name: "d", To: to}}})
	}
	e, err := open()
	if err != nil {
		return err
	}
	synced := 0
	for at := 0; at < len(p.want); {
		line := p.want[at : at+bytes.IndexByte(p.want[at:], '\n')+1]
		if err := e.Append(ctx, "s", line); err != nil {
			return err
		}
		at += len(line)
		if at-synced < p.batch && at < len(p.want) && synced > 0 {
			continue
		}
		before := synced
		if err := e.Sync(ctx, "s"); err != nil {
			return err
		}
		synced = at
		if before == 0 { // slots are made once in the life of a device
			p.flash = -e.Status().Spool.WrittenBytes
		}
		if before < len(p.want)/2 && synced >= len(p.want)/2 {
			p.flash += e.Status().Spool.WrittenBytes
			if err := errors.Join(e.Append(ctx, "s", []byte("this line is not synced\n")), e.Close()); err != nil {
				return err
			}
			if e, err = open(); err != nil {
				return err
			}
		}
	}
	if err := e.Flush(ctx, "s"); err != nil {
		return err
	}
	p.flash += e.Status().Spool.WrittenBytes
	if err := e.Run(ctx); err != nil {
		return err
	}
	var all []byte
	paths, err := filesBelow(filepath.Join(archive, "lab"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		p.link += int64(len(b))
		plain, err := decompress(p.compress, b)
		if err != nil {
			out.violation("%s, %d bytes a sync: %s cannot be decompressed: %v", p.compress, p.batch, path, err)
		}
		all = append(all, plain...)
	}
	if !bytes.Equal(all, p.want) {
		out.violation("%s, %d bytes a sync: %d bytes are archived, and not the %d that were synced", p.compress, p.batch, len(all), len(p.want))
	}
	return nil
}

func decompress(c engine.Compress, b []byte) ([]byte, error) {
	switch c {
	case engine.Gzip:
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(z)
	case engine.Zstd:
		z, err := zstd.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		return io.ReadAll(z)
	}
	return b, nil
}

// daemonMemory lets the daemon carry a file with each, and tells of its memory and time.
func daemonMemory(ctx context.Context, work string, out *report) error {
	program := filepath.Join(work, "dray")
	if text, err := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/seed-7270d448/dray/cmd/dray").CombinedOutput(); err != nil {
		return fmt.Errorf("build dray: %w\n%s", err, text)
	}
	const size = 32 << 20
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		b.WriteString(gpsLine(i))
	}
	file := filepath.Join(work, "gps.nmea")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		return err
	}
	for _, c := range []engine.Compress{engine.Plain, engine.Zstd, engine.Gzip} {
		dir := filepath.Join(work, string(c))
		if err := os.MkdirAll(filepath.Join(dir, "archive"), 0o755); err != nil {
			return err
		}
		config := filepath.Join(dir, "dray.yaml")
		text := fmt.Sprintf("device: lab\nstate_dir: %s/state\nspool: {max_bytes: 256MiB, min_free: 0}\nstreams:\n  - {name: gps, source: {type: file, path: %s}, framing: lines, compress: %s, destination: disk}\n"+
			"destinations:\n  - {name: disk, type: local, path: %s/archive}\n", dir, file, c, dir)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, program, "run", "--drain", "-c", config)
		cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY=", "NOTIFY_SOCKET=")
		var said tail
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			return err
		}
		peak := make(chan int64)
		go func() { peak <- watchPeak(cmd.Process.Pid) }()
		err := cmd.Wait()
		rss := <-peak
		if err != nil {
			return fmt.Errorf("dray: %w\n%s", err, said.String())
		}
		archived, err := sizeOf(filepath.Join(dir, "archive"))
		if err != nil {
			return err
		}
		out.figure("the daemon, 32 MiB of GPS", "%-6s %.1f MB RSS, %.2f s CPU; %.1f MB archived", c, float64(rss)/1e6,
			(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), float64(archived)/1e6)
	}
	return nil
}

// watchPeak returns the peak memory of a process in bytes, once it has ended. What
// the kernel says at its end holds that of the process which began it.
func watchPeak(pid int) (peak int64) {
	for {
		now := peakOf(pid)
		if now == 0 {
			return peak
		}
		peak = max(peak, now)
		time.Sleep(2 * time.Millisecond)
	}
}

// gpsLine is what a receiver says, sentence by sentence, once a second: a car
// that turns and changes speed.
func gpsLine(i int) string {
	second := i / 6
	at := time.Date(2026, 3, 1, 0, 0, second, 0, time.UTC)
	x := uint32(second)*2654435761 ^ uint32(second)>>3*40503
	lat, lon := 4807.0380+float64(second)*0.0043+float64(x%97)/10_000, 1131.0003+float64(second)*0.0061+float64(x>>8%89)/10_000
	hms, ymd := at.Format("150405.00"), at.Format("020106")
	speed, course := 20+float64(x>>5%400)/10, float64((second*3+int(x>>9%20))%360)
	var s string
	switch i % 6 {
	case 0:
		s = fmt.Sprintf("GPRMC,%s,A,%.4f,N,%09.4f,E,%.1f,%.1f,%s,,,A", hms, lat, lon, speed, course, ymd)
	case 1:
		s = fmt.Sprintf("GPGGA,%s,%.4f,N,%09.4f,E,1,%02d,%.1f,%.1f,M,46.9,M,,", hms, lat, lon, 7+x%5, 0.8+float64(x%9)/10, 540+float64(x>>4%200)/10)
	case 2:
		s = fmt.Sprintf("GPGSA,A,3,04,05,09,12,24,25,29,31,,,,,%.1f,%.1f,%.1f", 1.6+float64(x%7)/10, 0.9+float64(x%5)/10, 1.3+float64(x%6)/10)
	case 3, 4:
		s = fmt.Sprintf("GPGSV,2,%d,08,04,%02d,%03d,%02d,05,%02d,%03d,%02d,09,%02d,%03d,%02d,12,%02d,%03d,%02d", i%6-2,
			40+second/60%10, 83+second/40%20, 30+x%17, 15+second/70%10, 120+second/50%20, 25+x>>2%17, 61, 270, 35+x>>4%11, 7, 310, 20+x>>6%13)
	default:
		s = fmt.Sprintf("GPVTG,%.1f,T,,M,%.1f,N,%.1f,K,A", course, speed, speed*1.852)
	}
	sum := byte(0)
	for _, c := range []byte(s) {
		sum ^= c
	}
	return fmt.Sprintf("$%s*%02X\r\n", s, sum)
}

// csvLine is what a data logger writes: a time and five channels that drift and shake.
func csvLine(i int) string {
	x := uint32(i) * 2654435761
	at := time.Date(2026, 3, 1, 0, 0, i, 0, time.UTC)
	return fmt.Sprintf("%s,%.2f,%.1f,%d,%.3f,%.2f\n", at.Format(time.RFC3339), 21.5+float64(i%600)/100+float64(x>>20%7)/100,
		45+float64(x>>12%30)/10, 1013+i/3000%4, 3.3+float64(x>>9%50)/1000, float64(x>>3%2000)/100)
}
