package s3

import (
	"strings"
	"testing"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// An object is made by one upload, the device does not learn of it, and makes
// another upload of the same object: that must not be left behind.
func TestAnUploadOfWhatIsThereAlreadyIsEnded(t *testing.T) {
	b := newBench(t)
	for name, script := range map[string]string{
		"as the server does":           "",
		"no permission to read":        "mode deny-head",
		"the server knows no 412":      "mode no-condition",
		"an abort that does not work":  "abort status=500:InternalError",
		"an abort without a reply":     "abort drop",
		"an abort at the wrong time":   "abort status=403:RequestTimeTooSkewed",
		"a reply that says nothing":    "complete late-lie=empty",
		"no permission to end uploads": "mode deny-abort",
	} {
		t.Run(name, func(t *testing.T) {
			b := &bench{T: t, d: open(t, b.g, b.proxy.Endpoint), proxy: b.proxy, g: b.g}
			key := "ours-0123456789abcdef/" + name
			first, bytes := b.upload(key, 1000)
			if _, err := b.d.Complete(t.Context(), first, b.parts(first, bytes, 1)); err != nil {
				t.Fatal(err)
			}
			second, _ := b.upload(key, 1000)
			parts := b.parts(second, bytes, 1)
			if err := b.proxy.Read(script); err != nil {
				t.Fatal(err)
			}
			var err error
			for range 3 {
				if _, err = b.d.Complete(t.Context(), second, parts); err == nil {
					break
				}
			}
			if err != nil {
				t.Fatalf("Complete: %v, want success within three tries", err)
			}
			b.proxy.Script()
			if strings.Contains(script, "deny-abort") {
				if err := b.d.Abort(t.Context(), second); err != nil {
					t.Error(err)
				}
			}
			b.stored(key, bytes)
		})
	}
}

// A server that answers a repeated Complete with an error, for credentials that
// may not read: the list of parts tells that the upload is no more.
func TestAnUnreadableOutcomeIsToldFromTheUpload(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("ours-0123456789abcdef/unreadable", 1000)
	parts := b.parts(u, bytes, 1)
	b.proxy.Script(transporttest.Fault{Op: "complete", DropReply: true})
	_, err := b.d.Complete(t.Context(), u, parts)
	b.want(err, transport.Offline, true)
	for mode, kind := range map[string]transport.Kind{"mode deny-head": transport.Gone, "mode deny-head deny-list": transport.Temporary} {
		if err := b.proxy.Read(mode + "; complete status=500:InternalError"); err != nil {
			t.Fatal(err)
		}
		_, err = b.d.Complete(t.Context(), u, parts)
		e := b.want(err, kind, true)
		if kind == transport.Temporary && !strings.Contains(e.Error(), "s3:GetObject") {
			t.Errorf("got %v, want the permission that would help", e)
		}
	}
}

func TestWhatIsDeniedIsNamedByItsOwnAction(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("denied/parts", 1000)
	parts := b.parts(u, bytes, 1)
	if err := b.proxy.Read("mode deny-list; complete status=400:InvalidPart"); err != nil {
		t.Fatal(err)
	}
	_, err := b.d.Complete(t.Context(), u, parts)
	if e := b.want(err, transport.Denied, false); !strings.Contains(e.Error(), "InvalidPart") || !strings.Contains(e.Error(), "s3:ListMultipartUploadParts") {
		t.Errorf("got %v, want InvalidPart and the permission to list parts", e)
	}
}

func TestAnAnswerThatNamesTheObjectNeedsNoETag(t *testing.T) {
	b := newBench(t)
	for _, script := range []string{"mode empty-etag", "mode empty-etag deny-head", "mode empty-etag deny-head no-checksums"} {
		key := "named/" + strings.ReplaceAll(script, " ", "-")
		u, bytes := b.upload(key, 1000)
		parts := b.parts(u, bytes, 1)
		if err := b.proxy.Read(script); err != nil {
			t.Fatal(err)
		}
		if r, err := b.d.Complete(t.Context(), u, parts); err != nil || r.Size != 1000 || r.InDoubt != "" {
			t.Errorf("%s: %+v, %v, want success", script, r, err)
		}
		b.proxy.Script()
		b.stored(key, bytes)
	}
}

// Where a part cannot be sent again and it may not be asked what is there, the
// upload cannot be finished.
func TestAPartThatCanNeitherBeSentNorSeenNeedsAnotherUpload(t *testing.T) {
	b := newBench(t)
	for script, text := range map[string]string{
		"mode no-resend deny-list; part drop":                      "s3:ListMultipartUploadParts",
		"mode no-resend; part drop; parts status=404:NoSuchUpload": "NoSuchUpload",
	} {
		u, bytes := b.upload("resend", 1000)
		if err := b.proxy.Read(script); err != nil {
			t.Fatal(err)
		}
		_, err := b.part(u, bytes, 1)
		b.want(err, transport.Offline, true)
		_, err = b.part(u, bytes, 1)
		if e := b.want(err, transport.Gone, false); !strings.Contains(e.Error(), text) {
			t.Errorf("%s: got %v, want %s in it", script, e, text)
		}
	}
}

func TestNoLieEndsAnUpload(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("lies/abort", 10)
	b.parts(u, bytes, 1)
	for _, kind := range transporttest.Lies {
		if err := b.proxy.Read("abort lie=" + kind); err != nil {
			t.Fatal(err)
		}
		err := b.d.Abort(t.Context(), u)
		b.want(err, transport.Temporary, true)
	}
	if err := b.d.Abort(t.Context(), u); err != nil {
		t.Error(err)
	}
	if err := b.proxy.Read("abort late-lie=html"); err != nil {
		t.Fatal(err)
	}
	if err := b.d.Abort(t.Context(), u); err != nil {
		t.Errorf("Abort of what is gone, answered by a portal: %v, want success", err)
	}
}
