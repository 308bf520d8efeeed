package creds

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed-7270d448/dray/transport"
)

// An Issuer is where keys come from.
type Issuer interface {
	// Issue makes one attempt to get keys. It honours ctx, starts no goroutine
	// that outlives it, and fails with a *transport.Error of kind Denied (an
	// operator must act), Offline, Throttled or Temporary. Calls do not overlap.
	Issue(ctx context.Context) (Keys, error)
	// String names the issuer for people. It holds no secret.
	String() string
}

// Keys sign requests.
type Keys struct {
	AccessKeyID     string
	SecretAccessKey Secret
	SessionToken    Secret        // empty for long-lived keys
	Life            time.Duration // from when they were issued; 0: until they are replaced or refused

	files []stamp // what they were read from
}

// Bounds of keys, in bytes. Amazon's are far below; other services set their own.
const (
	maxID     = 256
	maxSecret = 1 << 10
	maxToken  = 16 << 10
	maxLife   = 36 * time.Hour // no service issues temporary keys for longer
)

// check refuses what could not be sent in a header. It repeats nothing.
func (k Keys) check() error {
	switch {
	case k.AccessKeyID == "" || k.SecretAccessKey.Reveal() == "":
		return errors.New("there is no access key ID and secret access key")
	case !plain(k.AccessKeyID, maxID) || strings.ContainsAny(k.AccessKeyID, "/,"):
		return errors.New("the access key ID is not one")
	case !plain(k.SecretAccessKey.Reveal(), maxSecret):
		return errors.New("the secret access key is not one")
	case !plain(k.SessionToken.Reveal(), maxToken):
		return errors.New("the session token is not one")
	case k.Life < 0:
		return errors.New("the keys have already expired")
	}
	return nil
}

// plain says that s is at most limit bytes of visible ASCII.
func plain(s string, limit int) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= limit
}

// lifeUntil returns how long keys last that end at the time written in until,
// seen from now. An empty until means for ever. Its error repeats nothing.
func lifeUntil(until string, now time.Time) (time.Duration, error) {
	if until == "" {
		return 0, nil
	}
	end, err := time.Parse(time.RFC3339, until)
	if err != nil {
		return 0, errors.New("the time of expiry is not of the form 2006-01-02T15:04:05Z")
	}
	life := min(end.Sub(now), maxLife)
	if life <= 0 {
		return 0, errors.New("the keys have already expired; check this device's clock")
	}
	return life, nil
}

// fail makes an error of an issuer.
func fail(kind transport.Kind, format string, args ...any) *transport.Error {
	return &transport.Error{Op: "credentials", Kind: kind, Err: fmt.Errorf(format, args...)}
}

// Static is keys that are known and stay.
type Static struct{ Keys Keys }

// Issue returns the keys.
func (s Static) Issue(context.Context) (Keys, error) {
	if err := s.Keys.check(); err != nil {
		return Keys{}, fail(transport.Denied, "%w", err)
	}
	return s.Keys, nil
}

// String returns "fixed keys".
func (s Static) String() string { return "fixed keys" }
