package s3

import (
	"testing"

	"os"
	"path/filepath"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// readable adds the call that the suite needs to compare bytes.
type readable struct {
	*Destination
	dir string
}

func (r readable) ReadObject(key string) ([]byte, error) {
	return os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(r.prefix+key)))
}

// open returns a destination in g's bucket, at endpoint if that is not empty.
func open(t *testing.T, g *transporttest.Gateway, endpoint string) *Destination {
	t.Helper()
	return openWrite(t, g, endpoint, Write{})
}

// openWrite is open with a say in how objects are written.
func openWrite(t *testing.T, g *transporttest.Gateway, endpoint string, w Write) *Destination {
	t.Helper()
	http, err := link.New(link.Config{CAFile: g.CAFile})
	if err != nil {
		t.Fatal(err)
	}
	if endpoint == "" {
		endpoint = g.Endpoint
	}
	d, err := New(Config{
		Bucket: g.Bucket, Region: g.Region, Endpoint: endpoint, PathStyle: true, Prefix: "some/prefix",
		AccessKeyID: g.AccessKeyID, SecretAccessKey: g.SecretAccessKey, HTTP: http, Write: w,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.CloseIdle)
	return d
}

func TestS3KeepsTheContract(t *testing.T) {
	for name, o := range map[string]transporttest.GatewayOptions{
		"http":           {},
		"https":          {TLS: true},
		"ETags, not MD5": {IntegrityETag: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := transporttest.StartGateway(t, o)
			transporttest.Run(t, func(t *testing.T) transport.Destination {
				return readable{open(t, g, ""), g.BucketDir}
			})
		})
	}
}
