package s3

import (
	"errors"
	"testing"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

func TestAFailureThatWasASuccessIsFoundOut(t *testing.T) {
	b := newBench(t)
	for name, lie := range lies {
		if lie.Early {
			continue
		}
		u, bytes := b.upload("after/"+name, 1000)
		parts := b.parts(u, bytes, 1)
		b.proxy.Script(transporttest.Fault{Method: "POST", After: &lie})
		if r, err := b.d.Complete(t.Context(), u, parts); err != nil || r.Checksum == "" {
			t.Errorf("Complete that was answered by %s: %+v, %v, want success", name, r, err)
		}
		b.stored(u.Object.Key, bytes)
		o := transporttest.Object("after-put/"+name, bytes)
		b.proxy.Script(transporttest.Fault{Method: "PUT", After: &lie})
		if r, err := b.d.Put(t.Context(), o, transporttest.NewBody(bytes)); err != nil || r.Checksum == "" {
			t.Errorf("Put that was answered by %s: %+v, %v, want success", name, r, err)
		}
		b.stored(o.Key, bytes)
	}
}

func TestHalfAReplyIsFoundOut(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("half-reply", 1000)
	parts := b.parts(u, bytes, 1)
	b.proxy.Script(transporttest.Fault{Method: "POST", CutReply: 40})
	_, err := b.d.Complete(t.Context(), u, parts)
	if e := (*transport.Error)(nil); err != nil && (!errors.As(err, &e) || !e.Unknown) {
		t.Errorf("half a reply: %v, want success or an open outcome", err)
	}
	if _, err := b.d.Complete(t.Context(), u, parts); err != nil {
		t.Error(err)
	}
	b.stored(u.Object.Key, bytes)
}

func TestWithoutPermissionToReadATakenKeyOfOurEpochIsOurs(t *testing.T) {
	b := newBench(t)
	denied := transporttest.Fault{Method: "HEAD", Instead: &transporttest.CannedReply{Status: 403}, Times: 10}
	bytes := []byte("payload")
	for key, doubt := range map[string]bool{"ours-0123456789abcdef-42": false, "not-of-an-epoch": true} {
		o := transporttest.Object(key, bytes)
		b.proxy.Script(denied)
		if _, err := b.d.Put(t.Context(), o, transporttest.NewBody(bytes)); err != nil {
			t.Fatal(err)
		}
		r, err := b.d.Put(t.Context(), o, transporttest.NewBody(bytes))
		if err != nil || (r.InDoubt != "") != doubt {
			t.Errorf("Put of %s again: %+v, %v, want success, in doubt: %v", key, r, err, doubt)
		}
	}
	// An upload that is gone may have expired: it is never called finished.
	u, bytes := b.upload("gone-0123456789abcdef-42", 10)
	parts := b.parts(u, bytes, 1)
	if err := b.d.Abort(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	b.proxy.Script(denied)
	_, err := b.d.Complete(t.Context(), u, parts)
	b.want(err, transport.Gone, false)
}

func TestARefusalOfCompleteIsSettledByWhatIsThere(t *testing.T) {
	b := newBench(t)
	refusal := func(status int, code string) *transporttest.CannedReply {
		return &transporttest.CannedReply{Status: status, Body: "<Error><Code>" + code + "</Code></Error>"}
	}
	for _, tt := range []struct {
		name    string
		reply   *transporttest.CannedReply
		kind    transport.Kind
		unknown bool
	}{
		{"another request came in between", refusal(409, "ConditionalRequestConflict"), transport.Gone, false},
		{"taken, and yet absent", refusal(412, "PreconditionFailed"), transport.Temporary, true},
		{"no such upload", refusal(404, "NoSuchUpload"), transport.Gone, false},
		{"404 alone", &transporttest.CannedReply{Status: 404}, transport.Gone, false},
		{"server error", refusal(500, "InternalError"), transport.Temporary, true},
		{"wrong part, and yet all are right", refusal(400, "InvalidPart"), transport.Temporary, false},
		{"part too small, and yet all are right", refusal(400, "EntityTooSmall"), transport.Invalid, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &bench{T: t, d: b.d, proxy: b.proxy, g: b.g}
			u, bytes := b.upload("refused/"+tt.name, MinPartSize+5)
			parts := b.parts(u, bytes, 1, 2)
			b.proxy.Script(transporttest.Fault{Method: "POST", Instead: tt.reply})
			_, err := b.d.Complete(t.Context(), u, parts)
			b.want(err, tt.kind, tt.unknown)
			b.absent(u.Object.Key)
			// The same answer, once the object is there: it is ours.
			if _, err := b.d.Complete(t.Context(), u, parts); err != nil {
				t.Fatal(err)
			}
			if tt.kind == transport.Invalid || tt.name == "wrong part, and yet all are right" {
				return
			}
			b.proxy.Script(transporttest.Fault{Method: "POST", Instead: tt.reply})
			if r, err := b.d.Complete(t.Context(), u, parts); err != nil || r.Checksum == "" {
				t.Errorf("Complete again: %+v, %v, want success", r, err)
			}
			// And once another is there, it is not.
			other := u
			other.Object.Metadata = map[string]string{"dray-start": "43"}
			b.proxy.Script(transporttest.Fault{Method: "POST", Instead: tt.reply})
			_, err = b.d.Complete(t.Context(), other, parts)
			b.want(err, transport.Conflict, false)
			b.stored(u.Object.Key, bytes)
		})
	}
}
