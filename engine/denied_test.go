package engine_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport"
)

// barred is a destination whose credentials are no good for a while.
type barred struct {
	transport.Destination
	shut  atomic.Bool
	tries atomic.Int64
}

func (b *barred) ask(op, key string) error {
	b.tries.Add(1)
	if b.shut.Load() {
		return &transport.Error{Op: op, Key: key, Kind: transport.Denied, Caller: true, Err: errors.New("status 403 ExpiredToken; renew the credentials")}
	}
	return nil
}

func (b *barred) Create(ctx context.Context, o transport.Object) (string, error) {
	if err := b.ask("create", o.Key); err != nil {
		return "", err
	}
	return b.Destination.Create(ctx, o)
}

func (b *barred) Put(ctx context.Context, o transport.Object, body transport.Body) (transport.Receipt, error) {
	if err := b.ask("put", o.Key); err != nil {
		return transport.Receipt{}, err
	}
	return b.Destination.Put(ctx, o, body)
}

func TestWhileDeniedDataKeepsComingInAndTheLogHoldsOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		to := &barred{Destination: newLocal(t, filepath.Join(dir, "archive"))}
		to.shut.Store(true)
		var log strings.Builder
		c := small(dir, to, engine.Block, &log)
		c.Streams[0].Object.MaxAge = 10 * time.Minute
		e, err := engine.New(c)
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, e)
		var sent int64
		for range 24 * 6 { // a day, a record each ten minutes
			if err := e.Append(t.Context(), "log", []byte("a record\n")); err != nil {
				t.Fatal(err)
			}
			sent += int64(len("a record\n"))
			time.Sleep(10 * time.Minute)
		}
		s := e.Status()
		if got := s.Streams[0].Kept; got != sent {
			t.Errorf("%d bytes are kept, want all %d that came in", got, sent)
		}
		if d := s.Destinations[0]; d.Link != "denied" || !strings.Contains(d.LastError, "renew the credentials") || d.NextTry.IsZero() {
			t.Errorf("link %q, error %q, next try %v; want it denied, why, and when it is tried again", d.Link, d.LastError, d.NextTry)
		}
		if got := to.tries.Load(); got < 24*60/16 || got > 24*60/2 {
			t.Errorf("%d tries in a day, want one each two to sixteen minutes", got)
		}
		if got := strings.Count(log.String(), "renew the credentials"); got != 1 {
			t.Errorf("%d lines tell of it, want one:\n%s", got, log.String())
		}
		to.shut.Store(false)
		time.Sleep(time.Hour)
		if got := e.Status().Streams[0].Archived; got != sent {
			t.Errorf("%d bytes are archived an hour after it was let in, want %d", got, sent)
		}
		stop()
	})
}
