package s3

import (
	"bytes"
	"fmt"
	"testing"

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
	s := transporttest.StartSimulator(t, transporttest.SimulatorOptions{Bucket: bucket})
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
