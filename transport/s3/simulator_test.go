package s3

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// simulated is a destination in a simulated bucket, whose bytes can be read.
type simulated struct {
	*Destination
	s *transporttest.Simulator
}

func (d simulated) ReadObject(key string) ([]byte, error) {
	b, meta := d.s.Object(d.prefix + key)
	if meta == nil {
		return nil, fmt.Errorf("no object %s", key)
	}
	return b, nil
}

func simulate(t *testing.T, bucket string, w Write) simulated {
	t.Helper()
	s := transporttest.StartSimulator(t, transporttest.SimulatorOptions{Bucket: bucket, Page: 3})
	via, err := link.ParseProxy(s.Tunnel)
	if err != nil {
		t.Fatal(err)
	}
	http, err := link.New(link.Config{CAFile: s.CAFile, Proxy: via})
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(Config{Bucket: s.Bucket, Region: s.Region, AccessKeyID: s.Keys.AccessKeyID, SecretAccessKey: s.Keys.SecretAccessKey, HTTP: http, Prefix: "some/prefix", Write: w})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.CloseIdle)
	return simulated{d, s}
}

func TestS3KeepsTheContractWhereNoServerToInstallDoes(t *testing.T) {
	customer := Write{Encryption: Encryption{Type: "customer", CustomerKey: bytes.Repeat([]byte{7}, customerKeyBytes)}}
	for name, tt := range map[string]struct {
		bucket string
		w      Write
	}{
		"directory bucket":                 {"dray--use1-az4--x-s3", Write{}},
		"directory bucket, SHA-256":        {"dray--use1-az4--x-s3", Write{Checksum: "sha256"}},
		"directory bucket, SSE-KMS":        {"dray--use1-az4--x-s3", Write{Encryption: Encryption{Type: "kms", KMSKey: "key", BucketKey: true}}},
		"customer's key":                   {"dray-bucket", customer},
		"customer's key, composite CRC32C": {"dray-bucket", Write{Encryption: customer.Encryption, ChecksumType: "composite"}},
		"Amazon's own host, no path style": {"dray-bucket", Write{}},
	} {
		t.Run(name, func(t *testing.T) {
			transporttest.Run(t, func(t *testing.T) transport.Destination { return simulate(t, tt.bucket, tt.w) })
		})
	}
}

// An archive whose encryption changed holds objects that the key of today does
// not open: that is said of each, as Invalid.
func TestAnObjectUnderAnotherKeyIsNotAnAnswerAboutTheBucket(t *testing.T) {
	d := simulate(t, "dray-bucket", Write{})
	b := transporttest.Bytes(1, 10)
	o := transporttest.Object("clear", b)
	if _, err := d.Put(t.Context(), o, transporttest.NewBody(b)); err != nil {
		t.Fatal(err)
	}
	d.form.customer = newCustomer(bytes.Repeat([]byte{7}, customerKeyBytes))
	_, err := d.Stat(t.Context(), "clear")
	(&bench{T: t}).want(err, transport.Invalid, false)
}

func TestTheCatalogueOfADirectoryBucketIsReadByItsRules(t *testing.T) {
	for _, bucket := range []string{"dray--use1-az4--x-s3", "dray-bucket"} {
		d := simulate(t, bucket, Write{})
		var want, begun []string
		for i := range 10 {
			key := fmt.Sprintf("a b/c+%d", i)
			b := []byte(key)
			if _, err := d.Put(t.Context(), transporttest.Object(key, b), transporttest.NewBody(b)); err != nil {
				t.Fatal(err)
			}
			want = append(want, key)
			for range 2 {
				id, err := d.Create(t.Context(), transporttest.Object(key, b))
				if err != nil {
					t.Fatal(err)
				}
				begun = append(begun, key+" "+id)
			}
		}
		for _, prefix := range []string{"", "a", "a b/", "a b/c"} {
			if got := listed(t, d.Destination, prefix); !slices.Equal(got, want) {
				t.Errorf("%s: objects below %q: got %q, want %q", bucket, prefix, got, want)
			}
			var uploads []string
			err := d.Uploads(t.Context(), prefix, func(u transport.Upload, _ time.Time) error {
				uploads = append(uploads, u.Object.Key+" "+u.ID)
				return nil
			})
			if slices.Sort(uploads); err != nil || !slices.Equal(uploads, slices.Sorted(slices.Values(begun))) {
				t.Errorf("%s: uploads below %q: got %q, %v, want %q", bucket, prefix, uploads, err, begun)
			}
		}
		if got := listed(t, d.Destination, "a b/c+1"); !slices.Equal(got, want[1:2]) {
			t.Errorf("%s: objects below one key: got %q", bucket, got)
		}
		if uploads, _, err := d.Find(t.Context(), want[7]); err != nil || len(uploads) != 2 {
			t.Errorf("%s: uploads of one key: %v, %v, want two", bucket, uploads, err)
		}
	}
}

func TestADoctorFindsNothingLackingWhereNoServerToInstallIs(t *testing.T) {
	for name, to := range map[string]simulated{
		"directory bucket": simulate(t, "dray--use1-az4--x-s3", Write{}),
		"customer's key":   simulate(t, "dray-bucket", Write{Encryption: Encryption{Type: "customer", CustomerKey: bytes.Repeat([]byte{7}, customerKeyBytes)}}),
	} {
		found, err := engine.Diagnose(t.Context(), engine.Destination{Name: "sim", To: to}, "gw", "")
		if err != nil || found.Err() != nil || len(found.Left) > 0 {
			t.Errorf("%s: %+v, %v, %v", name, found, err, found.Err())
		}
		for _, f := range found.Findings {
			if !f.OK && !f.NotRun {
				t.Errorf("%s: %+v, want nothing lacking", name, f)
			}
		}
		if n := to.s.Uploads(); n > 0 {
			t.Errorf("%s: %d uploads are left", name, n)
		}
	}
}
