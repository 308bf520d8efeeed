package local

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// readable adds the call that the suite needs to compare bytes.
type readable struct{ *Destination }

func (r readable) ReadObject(key string) ([]byte, error) {
	return os.ReadFile(filepath.Join(r.path, filepath.FromSlash(key)))
}

func TestLocalKeepsTheContract(t *testing.T) {
	dir := t.TempDir()
	transporttest.Run(t, func(t *testing.T) transport.Destination {
		d, err := New(Config{Path: dir})
		if err != nil {
			t.Fatal(err)
		}
		return readable{d}
	})
}
