package engine_test

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport"
)

// lossy is a destination that loses parts, and says which once it is to make the
// object of them.
type lossy struct {
	transport.Destination
	lost []int
	sent map[int]int // how often, by number
}

func (l *lossy) UploadPart(ctx context.Context, u transport.Upload, p transport.Part, b transport.Body) (transport.PartReceipt, error) {
	l.sent[p.Number]++
	return l.Destination.UploadPart(ctx, u, p, b)
}

func (l *lossy) Complete(ctx context.Context, u transport.Upload, parts []transport.PartReceipt) (transport.Receipt, error) {
	if lost := l.lost; lost != nil {
		l.lost = nil
		return transport.Receipt{}, &transport.Error{Op: "complete", Key: u.Object.Key, Kind: transport.Missing, Parts: lost, Err: errors.New("InvalidPart")}
	}
	return l.Destination.Complete(ctx, u, parts)
}

func TestOfPartsThatTheDestinationLostOnlyThoseGoAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		to := &lossy{Destination: newLocal(t, filepath.Join(dir, "archive")), lost: []int{2, 5}, sent: map[int]int{}}
		var log strings.Builder
		c := small(dir, to, engine.Block, &log)
		c.Workers, c.Drain = 1, true
		e, err := engine.New(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Append(t.Context(), "log", make([]byte, 5*4<<10+1)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := e.Run(ctx); err != nil || ctx.Err() != nil {
			t.Fatal(err, ctx.Err())
		}
		if want := map[int]int{1: 1, 2: 2, 3: 1, 4: 1, 5: 2, 6: 1}; !maps.Equal(to.sent, want) {
			t.Errorf("parts were sent %v times, want %v", to.sent, want)
		}
	})
}
