package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport/local"
)

// carry keeps two records in the folder state and archives them to a folder.
// It stands in README.md as it stands here; a test compares the two.
func carry(ctx context.Context, state, archive string) error {
	to, err := local.New(local.Config{Path: archive}) // or s3.New, or a destination of yours
	if err != nil {
		return err
	}
	e, err := engine.New(engine.Config{
		StateDir:     state,
		Spool:        engine.Spool{MaxBytes: 128 << 20},
		Streams:      []engine.Stream{{Name: "air", Destination: "disk"}},
		Destinations: []engine.Destination{{Name: "disk", To: to}},
		Drain:        true, // Run returns once all is archived; without it, when ctx is done
	})
	if err != nil {
		return err
	}
	for _, record := range []string{"21.5 °C\n", "21.6 °C\n"} {
		if err := e.Append(ctx, "air", []byte(record)); err != nil {
			return errors.Join(err, e.Close())
		}
	}
	if err := e.Sync(ctx, "air"); err != nil { // kept: from here on no power cut takes it
		return errors.Join(err, e.Close())
	}
	return e.Run(ctx)
}

// A program keeps records of its own and archives them.
func Example() {
	dir, err := os.MkdirTemp("", "dray-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	state, archive := filepath.Join(dir, "state"), filepath.Join(dir, "archive")
	if err := os.Mkdir(archive, 0o755); err != nil {
		fmt.Println(err)
		return
	}
	if err := carry(context.Background(), state, archive); err != nil {
		fmt.Println(err)
		return
	}
	err = engine.ReadReceipts(state, func(r engine.Receipt) error {
		fmt.Printf("%s [%d, %d) is archived, %s\n", r.Stream, r.Start, r.End, r.Checksum)
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: air [0, 18) is archived, crc32c:IruI/A==
}
