package engine

import (
	"errors"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/wal"
)

// Nothing is given up for a hiccup: proof needs tries that fail alike over a
// time, with no good one between.
func TestDamageIsProvenOnlyBySteadyFailure(t *testing.T) {
	id := objectID{1, 0}
	wrong := &wal.DamageError{From: 10, To: 20}
	failing := &wal.DamageError{From: 10, To: 20, Err: errors.New("input/output error")}
	elsewhere := &wal.DamageError{From: 15, To: 20}
	type try struct {
		at     time.Duration
		damage *wal.DamageError // nil: it was read well
		part   int
	}
	for _, c := range []struct {
		name  string
		tries []try
		want  bool
	}{
		{"once", []try{{0, wrong, 1}}, false},
		{"often, in a moment", []try{{0, wrong, 1}, {time.Second, wrong, 1}, {2 * time.Second, wrong, 1}, {3 * time.Second, wrong, 1}}, false},
		{"long apart, but twice", []try{{0, wrong, 1}, {time.Hour, wrong, 1}}, false},
		{"often and long", []try{{0, wrong, 1}, {time.Second, wrong, 1}, {30 * time.Second, wrong, 1}}, true},
		{"a good read between", []try{{0, wrong, 1}, {20 * time.Second, nil, 1}, {21 * time.Second, wrong, 1}, {40 * time.Second, wrong, 1}}, false},
		{"a good read of another part between", []try{{0, wrong, 1}, {20 * time.Second, nil, 2}, {21 * time.Second, wrong, 1}, {40 * time.Second, wrong, 1}}, true},
		{"at another place each time", []try{{0, wrong, 1}, {20 * time.Second, elsewhere, 1}, {40 * time.Second, wrong, 1}}, false},
		{"the disk fails, as long", []try{{0, failing, 1}, {time.Second, failing, 1}, {30 * time.Second, failing, 1}}, false},
		{"the disk fails for long", []try{{0, failing, 1}, {time.Minute, failing, 1}, {10 * time.Minute, failing, 1}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := rotten{}
			start := time.Unix(1e9, 0)
			for _, try := range c.tries {
				r := result{task: task{id: id, step: step{action: actSend, part: try.part}}, damage: try.damage}
				if try.damage != nil {
					r.err = try.damage
				}
				m.learn(r, start.Add(try.at))
			}
			if got := m.proven(id) != nil; got != c.want {
				t.Errorf("proven: got %v, want %v", got, c.want)
			}
		})
	}
}
