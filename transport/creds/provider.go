package creds

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/seed-7270d448/dray/transport"
)

// When keys are renewed.
const (
	// Keys that end are renewed at 3/4 of their life, give or take a twentieth: a
	// fleet that was switched on together must not ask together.
	renewAt     = 0.70
	renewSpread = 0.10
	// A renewal that failed is repeated after this pause at the earliest; until
	// then the old keys serve without delay.
	renewPause = 30 * time.Second
	// A service that merely forbids something may have been told of new
	// permissions in new keys, but asking for them at each refusal would be rude.
	refusedPause = time.Minute
	// A request that is signed with keys must arrive before they end.
	lastStretch = 10 * time.Second
)

// Provider holds the keys of an Issuer and renews them in time. One call at a
// time asks the issuer, in the goroutine of its caller. Others go on with the old
// keys while these are good and wait if not. It is safe for concurrent use and
// keeps no goroutine.
type Provider struct {
	issuer Issuer
	now    func() time.Time
	turn   chan struct{} // of capacity 1: to send is to take the turn to ask

	mu    sync.Mutex
	have  *held
	renew time.Time // when to renew what it has; zero: not by the clock
	pause time.Time // no renewal before
	asked uint64    // how often the issuer has answered
	err   error     // its last answer
}

// held is keys and when they end; it does not change.
type held struct {
	keys Keys
	got  time.Time
	end  time.Time // zero: never
}

var _ aws.CredentialsProvider = (*Provider)(nil)

// NewProvider returns a Provider of what i issues. It asks for nothing yet.
func NewProvider(i Issuer) *Provider {
	return &Provider{issuer: i, now: time.Now, turn: make(chan struct{}, 1)}
}

// String names the issuer.
func (p *Provider) String() string { return p.issuer.String() }

// Retrieve returns keys that are good now, renewing them if that is due. While
// renewing fails the old keys are returned until they end. After that, and before
// there were any, its error is the issuer's *transport.Error.
func (p *Provider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	p.mu.Lock()
	now := p.now()
	have, due, seen := p.good(now), p.due(now), p.asked
	p.mu.Unlock()
	switch {
	case have != nil && !due:
		return have.credentials(p), nil
	case have != nil:
		select {
		case p.turn <- struct{}{}:
		default:
			return have.credentials(p), nil // somebody renews them
		}
	default:
		select {
		case p.turn <- struct{}{}:
		case <-ctx.Done():
			return aws.Credentials{}, fail(transport.Offline, "%s: %w", p.issuer, ctx.Err())
		}
	}
	defer func() { <-p.turn }()
	have, err := p.ask(ctx, seen)
	if err != nil {
		return aws.Credentials{}, err
	}
	return have.credentials(p), nil
}

// ask asks the issuer, unless it answered to somebody else since seen was noted.
func (p *Provider) ask(ctx context.Context, seen uint64) (*held, error) {
	p.mu.Lock()
	have, answered, err := p.good(p.now()), p.asked != seen, p.err
	p.mu.Unlock()
	if answered && have != nil {
		return have, nil
	}
	if answered && err != nil {
		return nil, err
	}

	keys, err := p.issuer.Issue(ctx)
	if err == nil {
		if bad := keys.check(); bad != nil {
			err = fail(transport.Denied, "%s: %w", p.issuer, bad)
		}
	}

	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if err == nil {
		p.hold(keys, now)
	} else if ctx.Err() == nil {
		p.pause = now.Add(renewPause)
	}
	if err == nil || ctx.Err() == nil { // a caller who gave up says nothing about the issuer
		p.asked, p.err = p.asked+1, err
	}
	if have := p.good(now); have != nil {
		return have, nil
	}
	return nil, err
}

// hold keeps keys that were issued now.
func (p *Provider) hold(keys Keys, now time.Time) {
	p.have, p.renew, p.pause = &held{keys: keys, got: now}, time.Time{}, time.Time{}
	if keys.Life > 0 {
		p.have.end = now.Add(keys.Life - min(lastStretch, keys.Life/10))
		p.renew = now.Add(time.Duration(float64(keys.Life) * (renewAt + renewSpread*rand.Float64())))
	}
}

// good returns the keys if they can be used, else nil.
func (p *Provider) good(now time.Time) *held {
	if h := p.have; h != nil && (h.end.IsZero() || now.Before(h.end)) {
		return h
	}
	return nil
}

// due says that the keys it has should be renewed.
func (p *Provider) due(now time.Time) bool {
	if p.have == nil || now.Before(p.pause) {
		return false
	}
	return !p.renew.IsZero() && !now.Before(p.renew) || changed(p.have.keys.files)
}

// Refused tells that a service refused a request signed with the key of this
// ID. If the keys themselves are no good (expired, unknown), they are not used
// again; if they may lack permission, they are renewed once they are a minute
// old, and used until that succeeds. Of other keys than those it has, it takes no
// notice.
func (p *Provider) Refused(accessKeyID string, dead bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	switch {
	case p.have == nil || p.have.keys.AccessKeyID != accessKeyID:
	case dead:
		p.have = nil
	case now.Sub(p.have.got) >= refusedPause:
		p.renew = now
	}
}

// credentials returns the keys as the SDK has them.
func (h *held) credentials(p *Provider) aws.Credentials {
	return aws.Credentials{
		AccessKeyID:     h.keys.AccessKeyID,
		SecretAccessKey: h.keys.SecretAccessKey.Reveal(),
		SessionToken:    h.keys.SessionToken.Reveal(),
		Source:          p.issuer.String(),
		CanExpire:       !h.end.IsZero(),
		Expires:         h.end,
	}
}
