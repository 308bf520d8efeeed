package s3

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// interrupted is a simulated bucket that ends all sessions before each second
// part, and stops the engine after the first of them.
type interrupted struct {
	simulated
	stop func()
}

func (d *interrupted) UploadPart(ctx context.Context, u transport.Upload, p transport.Part, b transport.Body) (transport.PartReceipt, error) {
	if p.Number == 2 {
		d.s.ExpireSessions()
		if d.stop != nil {
			d.stop()
			d.stop = nil
		}
	}
	return d.simulated.UploadPart(ctx, u, p, b)
}

// What no server to install has, from end to end: objects in parts and whole,
// over a restart in the middle of an upload and sessions that end before their time.
func TestTheEngineArchivesWhereNoServerToInstallDoes(t *testing.T) {
	for name, tt := range map[string]struct {
		bucket string
		w      Write
	}{
		"directory bucket":          {"dray--use1-az4--x-s3", Write{}},
		"directory bucket, SSE-KMS": {"dray--use1-az4--x-s3", Write{Checksum: "crc64nvme", Encryption: Encryption{Type: "kms", KMSKey: "key"}}},
		"customer's key":            {"dray-bucket", Write{Encryption: Encryption{Type: "customer", CustomerKey: bytes.Repeat([]byte{7}, customerKeyBytes)}}},
	} {
		t.Run(name, func(t *testing.T) {
			to := &interrupted{simulated: simulate(t, tt.bucket, tt.w)}
			c := engine.Config{
				StateDir: t.TempDir(), Device: "gw", Drain: true, Workers: 1, Spool: engine.Spool{MinFree: -1},
				Streams: []engine.Stream{{Name: "log", Key: "a/{stream}-{epoch}-{start}", Destination: "sim",
					Object: engine.Object{MaxBytes: 64 << 20, PartSize: MinPartSize}}},
				Destinations: []engine.Destination{{Name: "sim", To: to}},
			}
			large, small := transporttest.Bytes(1, 2*MinPartSize+1000), transporttest.Bytes(2, 1000)
			e, err := engine.New(c)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range [][]byte{large, small} {
				for piece := range slices.Chunk(o, 1<<20) {
					if err := errors.Join(e.Append(t.Context(), "log", piece), e.Sync(t.Context(), "log")); err != nil {
						t.Fatal(err)
					}
				}
				if err := e.Flush(t.Context(), "log"); err != nil {
					t.Fatal(err)
				}
			}
			first, stop := context.WithCancel(t.Context())
			defer stop()
			to.stop = stop
			if err := e.Run(first); err != nil {
				t.Fatal(err)
			}
			if e, err = engine.New(c); err != nil {
				t.Fatal(err)
			}
			if err := e.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			var got [][]byte
			err = engine.ReadReceipts(c.StateDir, func(r engine.Receipt) error {
				b, err := to.ReadObject(r.Key)
				if r.InDoubt != "" || r.Checksum == "" {
					err = errors.Join(err, errors.New(r.Key+": in doubt, or without a checksum"))
				}
				got = append(got, b)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(got, func(a, b []byte) int { return len(b) - len(a) })
			if len(got) != 2 || !bytes.Equal(got[0], large) || !bytes.Equal(got[1], small) || to.s.Uploads() != 0 {
				t.Errorf("%d objects and %d uploads at the end, want the two appended and none", len(got), to.s.Uploads())
			}
			creates := 0
			for _, op := range to.s.Requests() {
				if op == "create" {
					creates++
				}
			}
			if want := map[bool]int{false: 1, true: 2}[to.Limits().MaxPut == 0]; creates != want {
				t.Errorf("%d uploads were begun, want %d: the first goes on after the restart", creates, want)
			}
		})
	}
}
