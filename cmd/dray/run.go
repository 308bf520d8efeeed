package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/seed-7270d448/dray/cmd/dray/internal/config"
	"github.com/seed-7270d448/dray/cmd/dray/internal/control"
	"github.com/seed-7270d448/dray/engine"
)

// stopTime is how long a stopped daemon may take; what is kept is safe anyway.
const stopTime = 4500 * time.Millisecond

var runCommand = command{
	name: "run", short: "read the streams and archive them, until stopped",
	long: `Stops within 5 s of SIGTERM or SIGINT, at once on a second one. What is kept and
not yet archived goes on at the next start. A reload is a restart: it loses
nothing that a serial port does not drop meanwhile. With --drain it ends by
itself where every source does: stdin and files that are not followed do, serial
ports and FIFOs do not.`,
	setup: func(fs *flag.FlagSet) action {
		file := configFlag(fs)
		drain := fs.Bool("drain", false, "end when every source has ended and everything is archived")
		verbose := fs.Bool("v", false, "log more")
		return func(ctx context.Context, out console, args []string) error {
			if err := noArgs(args); err != nil {
				return err
			}
			limitMemory()
			c, err := load(*file)
			if err != nil {
				return err
			}
			level := slog.LevelInfo
			if *verbose {
				level = slog.LevelDebug
			}
			c.Engine.Log = slog.New(slog.NewTextHandler(out.Err, &slog.HandlerOptions{Level: level}))
			c.Engine.Drain = *drain
			for _, w := range c.Warnings {
				c.Engine.Log.Warn("config", "line", w.Line, "about", w.Text)
			}
			return serve(ctx, c)
		}
	},
}

var checkCommand = command{
	name: "check", short: "say what is wrong with a config, and start nothing",
	long: `Reads the state folder too, also while dray runs on it: a config that has no such
stream or destination any more for what waits there is wrong. dray run takes it,
keeps what waits, and says so in status.`,
	setup: func(fs *flag.FlagSet) action {
		file := configFlag(fs)
		return func(_ context.Context, out console, args []string) error {
			if err := noArgs(args); err != nil {
				return err
			}
			c, err := loaded(config.Check(*file))
			if err != nil {
				return err
			}
			for _, w := range c.Warnings {
				if _, err := fmt.Fprintf(out.Err, "%s:%d:%d: warning: %s\n", *file, w.Line, w.Column, w.Text); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(out.Out, "%s: good: %s, %s, state in %s\n", *file,
				count(len(c.Engine.Streams), "stream"), count(len(c.Engine.Destinations), "destination"), c.Engine.StateDir)
			return err
		}
	},
}

// load reads a config and checks what concerns this program besides.
func load(file string) (*config.Config, error) { return loaded(config.Load(file)) }

func loaded(c *config.Config, err error) (*config.Config, error) {
	if err != nil {
		return nil, err
	}
	c.Engine.Version = versionText()
	if _, err := control.SocketPath(c.Engine.StateDir); err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// limitMemory keeps the resident memory flat. Dray's live heap is a few MiB
// whatever it carries: records not yet synced (2 MiB at most), 64 KiB for each
// part in flight, TLS. Go would let the heap double before it collects; half as
// much again costs little CPU here, because payload is hardly ever on the heap.
// The soft limit comes on top for bursts. With the pages of the program itself
// (5 to 8 MiB are touched) the whole stays below 20 MiB. The limit must not be
// lower: 100,000 waiting objects are 8 MiB of live heap, and a limit below what
// is live would have the collector run without end. GOGC and GOMEMLIMIT win.
func limitMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(12 << 20)
	}
}

// serve runs the daemon until ctx is cancelled or, draining, all is archived.
func serve(ctx context.Context, c *config.Config) (err error) {
	log := c.Engine.Log
	e, err := engine.New(c.Engine)
	if err != nil {
		return err
	}
	door, err := control.New(control.Config{StateDir: c.Engine.StateDir, Metrics: c.MetricsListen, Engine: e})
	if err != nil {
		return errors.Join(err, e.Close())
	}
	door.Start()
	defer func() { err = errors.Join(err, door.Close()) }()

	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	manager := newNotifier(os.Getenv, os.Getpid())
	tell := func(state string) {
		if err := manager.send(state); err != nil {
			log.Warn("the service manager does not listen", "err", err)
		}
	}
	var watchdog <-chan time.Time
	if manager.watchdog > 0 {
		ticker := time.NewTicker(manager.watchdog)
		defer ticker.Stop()
		watchdog = ticker.C
	}

	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	log.Info("running", "version", c.Engine.Version, "state_dir", c.Engine.StateDir, "pid", os.Getpid())
	tell("READY=1")

	stop := ctx.Done()
	var late <-chan time.Time
	for {
		select {
		case err := <-done:
			if ctx.Err() != nil && errors.Is(err, context.Canceled) {
				err = nil
			}
			if err == nil {
				log.Info("stopped, everything read is kept")
			}
			return err
		case <-stop:
			stop, late = nil, time.After(stopTime)
			log.Info("stopping")
			tell("STOPPING=1")
		case <-late:
			return fmt.Errorf("not stopped after %v; what was kept is safe, what was read since the last sync may be lost", stopTime)
		case <-hup:
			log.Info("SIGHUP ignored; restart to read a changed config")
		case <-watchdog:
			e.Status() // an engine that cannot answer must not look alive
			tell("WATCHDOG=1")
		}
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
