// Command treehash computes the hashes of Amazon Glacier as another code base
// does: that of aws-sdk-go, version 1, which shares nothing with Dray's. The
// vault that Dray is tested against judges by them alone.
//
// It reads lines of file names separated by tabs from its standard input. For
// each line it answers with one of its own: the SHA-256 tree hash and the linear
// SHA-256 of those files' bytes one after another, in hexadecimal, or "error"
// and why. It ends with its input, so it outlives no parent.
//
// It is for tests only, and lives in a module of its own, so that no Dray binary
// can come to depend on that SDK.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go/service/glacier"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		hashes, err := hash(strings.Split(lines.Text(), "\t"))
		if err != nil {
			fmt.Printf("error %q\n", err)
			continue
		}
		fmt.Printf("%x %x\n", hashes.TreeHash, hashes.LinearHash)
	}
}

func hash(names []string) (glacier.Hash, error) {
	r := &chain{names: names}
	hashes := glacier.ComputeHashes(r)
	return hashes, errors.Join(r.err, r.close())
}

// A chain reads files one after another. The SDK takes a read error for the end,
// so it is remembered.
type chain struct {
	names []string
	file  *os.File
	err   error
}

func (c *chain) Read(p []byte) (int, error) {
	for c.err == nil {
		if c.file == nil {
			if len(c.names) == 0 {
				return 0, io.EOF
			}
			c.file, c.err = os.Open(c.names[0])
			c.names = c.names[1:]
			continue
		}
		n, err := c.file.Read(p)
		if n > 0 {
			return n, nil
		}
		if !errors.Is(err, io.EOF) {
			c.err = err
			break
		}
		c.err = c.close()
	}
	return 0, c.err
}

func (c *chain) close() error {
	if c.file == nil {
		return nil
	}
	err := c.file.Close()
	c.file = nil
	return err
}

// Seek serves the SDK, which asks where it is and goes back there at the end.
func (c *chain) Seek(int64, int) (int64, error) { return 0, nil }
