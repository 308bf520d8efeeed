package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-7270d448/dray/cmd/dray/internal/control"
	"github.com/seed-7270d448/dray/cmd/dray/internal/text"
	"github.com/seed-7270d448/dray/engine"
)

// Config says how to run a demo.
type Config struct {
	Dir     string        // folder for everything, made if absent, must be empty; "": a new one in the temporary folder
	Length  time.Duration // how long the sensor sends; at least 2 s
	Program []string      // the dray to show, and its first arguments
	Out     io.Writer     // where to show it
}

// downTime is how long the daemon stays dead, so that a viewer sees it.
const downTime = 700 * time.Millisecond

// Run plays the demo and returns nil if every promise held. What it made stays
// for a look, whatever comes of it; no process does.
func Run(ctx context.Context, c Config) (err error) {
	if c.Length < 2*time.Second {
		return errors.New("a demo takes at least 2 seconds")
	}
	dir, err := folder(c.Dir)
	if err != nil {
		return err
	}
	gps, err := newSensor()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, gps.close()) }()
	if err := writeConfig(dir, gps.Port); err != nil {
		return err
	}

	p := &play{Config: c, dir: dir, gps: gps, screen: newScreen(c.Out)}
	p.dray = &daemon{dir: dir, program: c.Program, client: control.NewClient(filepath.Join(dir, stateName))}
	defer func() { err = errors.Join(err, p.dray.end()) }()
	p.screen.say(`Dray demo: a sensor, a daemon that is killed half way, an archive. All on this machine.

  sensor   %s: a GPS receiver at sea, 25 fixes a second, 115200 baud
  config   %s
  archive  %s
`, gps.Port, filepath.Join(dir, configName), filepath.Join(dir, archiveName))
	if err := p.perform(ctx); err != nil {
		return err
	}
	return p.judge()
}

// folder makes the folder of the demo and the archive in it.
func folder(dir string) (string, error) {
	if dir == "" {
		made, err := os.MkdirTemp("", "dray-demo-")
		if err != nil {
			return "", err
		}
		dir = made
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if entries, err := os.ReadDir(dir); err != nil {
		return "", err
	} else if len(entries) > 0 {
		return "", fmt.Errorf("%s is not empty; name a new folder, or none", dir)
	}
	return dir, os.Mkdir(filepath.Join(dir, archiveName), 0o700)
}

// A play is one demo under way, and what is known for its verdict.
type play struct {
	Config
	dir    string
	gps    *sensor
	dray   *daemon
	screen *screen

	keptAtKill int64 // what the daemon had called kept before it died
	backAt     int64 // bytes sent when its successor was seen reading
}

// perform does everything up to the complete archive and the daemon's end.
func (p *play) perform(ctx context.Context) error {
	if err := p.dray.start(ctx); err != nil {
		return err
	}
	p.screen.event("dray runs as process %d and waits for bytes", p.dray.pid())

	sending, stopSending := context.WithCancel(ctx)
	sensorDone := make(chan error, 1)
	go func() { sensorDone <- p.gps.run(sending) }()
	err := p.middle(ctx)
	stopSending()
	if err = errors.Join(err, <-sensorDone); err != nil {
		return err
	}

	p.screen.event("the sensor stops after %s; dray flush", text.Bytes(p.gps.count()))
	if err := p.drain(ctx); err != nil {
		return err
	}
	p.screen.event("all that is kept is archived")
	begin := time.Now()
	if err := p.dray.stop(); err != nil {
		return err
	}
	p.screen.event("SIGTERM: dray ended by itself in %s", text.Span(time.Since(begin)))
	return nil
}

// middle is the time in which the sensor sends: one half, the kill, the other.
func (p *play) middle(ctx context.Context) error {
	if err := p.watch(ctx, p.Length/2); err != nil {
		return err
	}
	s, err := p.dray.status(ctx)
	if err != nil {
		return err
	}
	p.keptAtKill = s.Streams[0].Kept
	pid := p.dray.pid()
	if err := p.dray.kill(); err != nil {
		return err
	}
	p.screen.event("kill -9 %d: dead at once; its last word was %s kept, %s archived", pid,
		text.Bytes(s.Streams[0].Kept), text.Bytes(s.Streams[0].Archived))
	p.screen.event("nobody reads now, and the sensor does not care")
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(downTime):
	}
	if err := p.gps.release(); err != nil {
		return err
	}
	begin := time.Now()
	if err := p.dray.start(ctx); err != nil {
		return err
	}
	p.backAt = p.gps.count()
	p.screen.event("started again as process %d, reading after %s", p.dray.pid(), text.Span(time.Since(begin)))
	return p.watch(ctx, p.Length/2)
}

// watch shows progress for a while.
func (p *play) watch(ctx context.Context, length time.Duration) error {
	end := time.After(length)
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end:
			return nil
		case <-p.dray.exited:
			return fmt.Errorf("dray ended: %v%s", p.dray.err, p.dray.lastWords())
		case <-ticker.C:
			s, err := p.dray.status(ctx)
			if err != nil {
				return err
			}
			p.screen.progress(p.gps.count(), s)
		}
	}
}

// drain waits until the last sentence sent is in the archive. What the
// terminal still holds is read first, so it may take more than one flush.
func (p *play) drain(ctx context.Context) error {
	sent := p.gps.all()
	last := sent[strings.LastIndexByte(strings.TrimSuffix(string(sent), "\n"), '\n')+1:]
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		if err := p.dray.client.Flush(ctx, "gps"); err != nil {
			return fmt.Errorf("flush: %w", err)
		}
		err := p.dray.until(ctx, 15*time.Second, "everything kept to be archived", func(s engine.Status) bool {
			p.screen.progress(p.gps.count(), s)
			g := s.Streams[0]
			return g.Archived == g.Kept && g.Kept == g.Appended
		})
		if err != nil {
			return err
		}
		archived, _, err := readArchive(p.dir)
		if err != nil {
			return err
		}
		if strings.HasSuffix(string(archived), string(last)) {
			return nil
		}
	}
}

// judge compares the archive with what was sent, says what it found and
// returns an error unless every promise held.
func (p *play) judge() error {
	sent := p.gps.all()
	archived, objects, err := readArchive(p.dir)
	if err != nil {
		return err
	}
	lost, err := compare(sent, archived)
	if err != nil {
		return err
	}
	all, missing, torn := sentences(sent, archived)
	switch {
	case int64(lost.From) < p.keptAtKill:
		return fmt.Errorf("bytes that had been called kept are lost: %d from offset %d on, kept was %d", lost.To-lost.From, lost.From, p.keptAtKill)
	case int64(lost.To-lost.Slack) > p.backAt && lost.To > lost.From:
		return fmt.Errorf("bytes sent after the restart are lost: up to offset %d, reading again from %d", lost.To, p.backAt)
	case torn > 1:
		return fmt.Errorf("%d sentences are torn, one kill can tear only one", torn)
	}
	p.screen.say(`
  sent              %d sentences, %d bytes
  archived          %d bytes; objects, laid end to end by their receipts: %d
  before the kill   %d bytes had been called kept: all there, byte for byte
  after the kill    all there, byte for byte, none twice
  lost to kill -9   %d sentences, %d bytes: read since the last sync (one each
                    %v), hence never called kept`,
		all, len(sent), len(archived), objects, p.keptAtKill, missing, lost.To-lost.From, syncEvery)
	if torn > 0 {
		p.screen.say("                    (of one sentence the end was read by the next process)")
	}
	p.screen.say(`
PASS: kept means kept, and nothing is there twice.

What next:
  ls -R %[1]s
  dray receipts -c %[2]s
  dray inspect -c %[2]s
  rm -r %[3]s
For a device of yours, start from a sample config and try: dray check -c FILE`,
		filepath.Join(p.dir, archiveName), filepath.Join(p.dir, configName), p.dir)
	return nil
}
