package transporttest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
)

// A TreeHasher computes the hashes of Glacier by a code base that shares nothing
// with Dray's: a child process (build/treehash) that ends with this one.
type TreeHasher struct {
	mu    sync.Mutex
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
}

// NewTreeHasher builds the program if this checkout has not built it yet, and
// starts it. The caller must Close it. The working folder must be inside the
// repository.
func NewTreeHasher() (*TreeHasher, error) {
	program, err := treeHashProgram()
	if err != nil {
		return nil, fmt.Errorf("start tree hasher: %w", err)
	}
	h := &TreeHasher{cmd: exec.Command(program)}
	stdout, err1 := h.cmd.StdoutPipe()
	stdin, err2 := h.cmd.StdinPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if err := h.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start tree hasher: %w", err)
	}
	h.stdin, h.out = stdin, bufio.NewReader(stdout)
	return h, nil
}

// Hash returns the tree hash and the linear SHA-256 of the files' bytes, one
// after another, in hexadecimal. The tree hash of no bytes is empty.
func (h *TreeHasher) Hash(files ...string) (tree, linear string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, err := io.WriteString(h.stdin, strings.Join(files, "\t")+"\n"); err != nil {
		return "", "", fmt.Errorf("tree hasher: %w", err)
	}
	line, err := h.out.ReadString('\n')
	if err != nil {
		return "", "", fmt.Errorf("tree hasher: %w", err)
	}
	tree, linear, _ = strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	if tree == "error" {
		return "", "", fmt.Errorf("tree hasher: %s", linear)
	}
	return tree, linear, nil
}

// Close ends the process and waits for it.
func (h *TreeHasher) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return errors.Join(h.stdin.Close(), h.cmd.Wait())
}
