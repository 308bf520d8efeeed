package creds

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/transport"
)

// scripted is an issuer that answers by a function and counts.
type scripted struct {
	asked atomic.Int64
	issue func(ctx context.Context, n int64) (Keys, error)
}

func (s *scripted) Issue(ctx context.Context) (Keys, error) { return s.issue(ctx, s.asked.Add(1)) }
func (s *scripted) String() string                          { return "script" }

// numbered are the keys of the nth answer.
func numbered(n int64, life time.Duration) Keys {
	return Keys{AccessKeyID: fmt.Sprintf("id%d", n), SecretAccessKey: NewSecret("hush"), SessionToken: NewSecret("hush-token"), Life: life}
}

// id is the access key ID that p gives now, or the kind of its error.
func id(t *testing.T, p *Provider) string {
	t.Helper()
	c, err := p.Retrieve(t.Context())
	if err != nil {
		return transport.KindOf(err).String()
	}
	return c.AccessKeyID
}

func expect(t *testing.T, p *Provider, want string) {
	t.Helper()
	if got := id(t, p); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestKeysAreRenewedAtThreeQuartersOfTheirLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{issue: func(_ context.Context, n int64) (Keys, error) { return numbered(n, time.Hour), nil }}
		p := NewProvider(s)
		if s.asked.Load() != 0 {
			t.Error("asked before anybody needs keys")
		}
		expect(t, p, "id1")
		time.Sleep(42*time.Minute - time.Second) // 70 %
		expect(t, p, "id1")
		time.Sleep(6*time.Minute + 2*time.Second) // past 80 %
		expect(t, p, "id2")
		time.Sleep(24 * time.Hour)
		expect(t, p, "id3")
	})
}

func TestAFleetDoesNotRenewInTheSameMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[time.Time]bool{}
		for range 20 {
			p := NewProvider(&scripted{issue: func(_ context.Context, n int64) (Keys, error) { return numbered(n, time.Hour), nil }})
			expect(t, p, "id1")
			at := p.renew
			if since := time.Until(at); since < 42*time.Minute || since > 48*time.Minute {
				t.Errorf("renews after %v, want 42 to 48 minutes", since)
			}
			seen[at] = true
		}
		if len(seen) < 15 {
			t.Errorf("20 providers renew at %d times", len(seen))
		}
	})
}

func TestOldKeysServeWhileRenewingFailsAndThenTheLinkIsToBlame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		online := true
		s := &scripted{}
		s.issue = func(_ context.Context, n int64) (Keys, error) {
			if !online {
				return Keys{}, fail(transport.Offline, "no route")
			}
			return numbered(n, time.Hour), nil
		}
		p := NewProvider(s)
		expect(t, p, "id1")
		online = false
		time.Sleep(50 * time.Minute)
		before := s.asked.Load()
		for range 100 {
			expect(t, p, "id1")
		}
		if got := s.asked.Load() - before; got != 1 {
			t.Errorf("asked %d times in one moment, want 1", got)
		}
		time.Sleep(renewPause)
		expect(t, p, "id1")
		if got := s.asked.Load() - before; got != 2 {
			t.Errorf("asked %d times after a pause, want 2", got)
		}
		time.Sleep(10 * time.Minute) // the keys have ended
		expect(t, p, "offline")
		online = true
		expect(t, p, "id5") // at once: no pause stands in the way of those who have nothing
	})
}

func TestOneCallAsksAndTheOthersWaitForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, fails := range []bool{false, true} {
			s := &scripted{issue: func(_ context.Context, n int64) (Keys, error) {
				time.Sleep(time.Minute)
				if fails {
					return Keys{}, fail(transport.Offline, "no route")
				}
				return numbered(n, 0), nil
			}}
			p := NewProvider(s)
			start := time.Now()
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() {
					want := "id1"
					if fails {
						want = "offline"
					}
					expect(t, p, want)
				})
			}
			all.Wait()
			if got, took := s.asked.Load(), time.Since(start); got != 1 || took != time.Minute {
				t.Errorf("fails %v: asked %d times in %v, want once in a minute", fails, got, took)
			}
		}
	})
}

func TestNobodyWaitsForARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{issue: func(_ context.Context, n int64) (Keys, error) {
			if n > 1 {
				time.Sleep(time.Minute)
			}
			return numbered(n, time.Hour), nil
		}}
		p := NewProvider(s)
		expect(t, p, "id1")
		time.Sleep(50 * time.Minute)
		var renewal sync.WaitGroup
		renewal.Go(func() { expect(t, p, "id2") })
		synctest.Wait()
		start := time.Now()
		expect(t, p, "id1")
		if took := time.Since(start); took != 0 {
			t.Errorf("waited for %v", took)
		}
		renewal.Wait()
		expect(t, p, "id2")
	})
}

func TestACallerThatGivesUpSpoilsNothingForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{issue: func(ctx context.Context, n int64) (Keys, error) {
			select {
			case <-ctx.Done():
				return Keys{}, fail(transport.Offline, "%w", ctx.Err())
			case <-time.After(time.Minute):
				return numbered(n, 0), nil
			}
		}}
		p := NewProvider(s)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		for range 2 { // one asks, one waits
			all.Go(func() {
				if _, err := p.Retrieve(short); !errors.Is(err, context.DeadlineExceeded) || transport.KindOf(err) != transport.Offline {
					t.Errorf("got %v, want a deadline, offline", err)
				}
			})
		}
		synctest.Wait()
		all.Go(func() { expect(t, p, "id2") })
		all.Wait()
	})
}

func TestDeadKeysAreNotUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		online := true
		s := &scripted{issue: func(_ context.Context, n int64) (Keys, error) {
			if !online {
				return Keys{}, fail(transport.Offline, "no route")
			}
			return numbered(n, time.Hour), nil
		}}
		p := NewProvider(s)
		expect(t, p, "id1")
		p.Refused("another", true)
		expect(t, p, "id1")
		p.Refused("id1", true)
		expect(t, p, "id2")
		p.Refused("id1", true) // a late reply to the old ones
		expect(t, p, "id2")
		online = false
		p.Refused("id2", true)
		expect(t, p, "offline")
	})
}

func TestForbiddenKeysAreRenewedOnceInAWhileAndUsedUntilThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{issue: func(_ context.Context, n int64) (Keys, error) {
			if n == 2 {
				return Keys{}, fail(transport.Denied, "not now")
			}
			return numbered(n, time.Hour), nil
		}}
		p := NewProvider(s)
		expect(t, p, "id1")
		for range 10 {
			p.Refused("id1", false)
			expect(t, p, "id1")
		}
		time.Sleep(refusedPause)
		p.Refused("id1", false)
		expect(t, p, "id1") // renewing fails
		time.Sleep(renewPause)
		expect(t, p, "id3")
	})
}

func TestKeysThatNoHeaderCanCarryAreRefused(t *testing.T) {
	for _, k := range []Keys{
		{},
		{AccessKeyID: "id"},
		{AccessKeyID: "i/d", SecretAccessKey: NewSecret("hush")},
		{AccessKeyID: "id", SecretAccessKey: NewSecret("hush\n")},
		{AccessKeyID: "id", SecretAccessKey: NewSecret("hush"), SessionToken: NewSecret("hu sh")},
		{AccessKeyID: "id", SecretAccessKey: NewSecret(string(make([]byte, maxSecret+1)))},
		{AccessKeyID: "id", SecretAccessKey: NewSecret("hush"), Life: -1},
	} {
		p := NewProvider(Static{k})
		expect(t, p, "denied")
	}
	expect(t, NewProvider(Static{Keys{AccessKeyID: "id", SecretAccessKey: NewSecret("hush")}}), "id")
}
