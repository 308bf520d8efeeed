package s3

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/creds"
)

// maxSession is how long a directory bucket's session lasts; a reply that
// promises more comes from a wrong clock.
const maxSession = 5 * time.Minute

// createSessionOp is what errors call it.
const createSessionOp = "create session"

// A sessionIssuer gets sessions of a directory bucket. A creds.Provider before it
// renews them in time and when they are refused, in the goroutine of the call
// that needs them. The SDK's own provider does so in one that outlives the call,
// believes this device's clock, uses a session again that was refused, and hides
// why there is none.
type sessionIssuer struct{ d *Destination }

func (i sessionIssuer) String() string { return "session of bucket " + i.d.bucket }

// Issue makes one CreateSession. What objects are encrypted with is the session's
// affair; their own requests must ask for the same.
func (i sessionIssuer) Issue(ctx context.Context) (creds.Keys, error) {
	f := &i.d.form
	out, err := i.d.client.CreateSession(ctx, &s3.CreateSessionInput{
		Bucket:                  &i.d.bucket,
		ServerSideEncryption:    f.encryption,
		SSEKMSKeyId:             f.kmsKey,
		SSEKMSEncryptionContext: f.kmsContext,
		BucketKeyEnabled:        f.bucketKey,
	})
	if err != nil {
		e := i.d.fail(createSessionOp, "", err)
		switch e.Kind {
		case transport.Temporary, transport.Throttled, transport.Offline:
		default: // of the bucket, not of the object whose call needs the session
			e.Kind = transport.Denied
		}
		return creds.Keys{}, sessionError(e.Kind, e.RetryAfter, e.Err)
	}
	c := out.Credentials
	if c == nil || aws.ToString(c.AccessKeyId) == "" || aws.ToString(c.SecretAccessKey) == "" || aws.ToString(c.SessionToken) == "" || c.Expiration == nil {
		return creds.Keys{}, sessionError(transport.Temporary, 0, errors.New("status 200 without a session: it may not have come from the server at all; check for a log-in page in the way"))
	}
	now, ok := awsmiddleware.GetServerTime(out.ResultMetadata)
	if !ok {
		now = time.Now()
	}
	return creds.Keys{
		AccessKeyID:     *c.AccessKeyId,
		SecretAccessKey: creds.NewSecret(*c.SecretAccessKey),
		SessionToken:    creds.NewSecret(*c.SessionToken),
		Life:            min(max(c.Expiration.Sub(now), 1), maxSession), // one that has ended is tried once
	}, nil
}

func sessionError(kind transport.Kind, wait time.Duration, err error) *transport.Error {
	return &transport.Error{Op: "credentials", Kind: kind, RetryAfter: wait, Err: fmt.Errorf("%s: %w", createSessionOp, err)}
}

// inSession has every request of a directory bucket signed with its session, and
// returns what gets those.
func (d *Destination) inSession(o *s3.Options) *creds.Provider {
	p := creds.NewProvider(sessionIssuer{d})
	o.ExpressCredentials = fromContext{}
	o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
		return s.Initialize.Add(enter{p}, middleware.Before)
	})
	return p
}

// enter gets the session before the SDK asks for it, which would hide an error.
type enter struct{ sessions *creds.Provider }

func (enter) ID() string { return "DraySession" }

func (e enter) HandleInitialize(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	if _, creates := in.Parameters.(*s3.CreateSessionInput); !creates {
		session, err := e.sessions.Retrieve(ctx)
		if err != nil {
			return middleware.InitializeOutput{}, middleware.Metadata{}, err
		}
		ctx = context.WithValue(ctx, fromContext{}, session)
	}
	return next.HandleInitialize(ctx, in)
}

// fromContext is the SDK's provider of sessions: the one that enter got. It is
// the key of that in the context too.
type fromContext struct{}

func (fromContext) Retrieve(ctx context.Context, _ string) (aws.Credentials, error) {
	session, ok := ctx.Value(fromContext{}).(aws.Credentials)
	if !ok {
		return session, errors.New("there is no session")
	}
	return session, nil
}
