package transporttest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// gatewayProgram returns the path of the server's binary and builds it first
// if need be. The binary is kept in the user's cache folder under a name that
// holds a hash of all it is made from, so that it is built once a checkout and
// not once a test binary; a file lock makes parallel test binaries wait for
// the one that builds.
var gatewayProgram = sync.OnceValues(func() (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	tools := filepath.Join(root, "build", "tools")
	sum, err := hashSources(tools)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a cache folder: %w; set HOME or XDG_CACHE_HOME", err)
	}
	cache = filepath.Join(cache, "dray")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	unlock, err := lockFile(filepath.Join(cache, "s3server.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	program := filepath.Join(cache, "s3server-"+sum)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	// Renamed when complete: a build that is killed leaves no half program.
	half := program + ".new"
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", half, "./s3server")
	cmd.Dir = tools
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOOS=", "GOARCH=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", filepath.Join(tools, "s3server"), err, out)
	}
	if err := os.Rename(half, program); err != nil {
		return "", err
	}
	return program, nil
})

// moduleRoot returns the root of Dray's checkout, seen from the working folder.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(out)))
	if _, err := os.Stat(filepath.Join(root, "build", "tools", "s3server")); err != nil {
		return "", fmt.Errorf("find build/tools/s3server: %w; run inside Dray's repository", err)
	}
	return root, nil
}

// hashSources identifies what the server is built from: its source, the
// versions of all modules, and the toolchain.
func hashSources(tools string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	files := []string{"go.mod", "go.sum"}
	sources, err := fs.Glob(os.DirFS(tools), "s3server/*.go")
	if err != nil {
		return "", err
	}
	for _, name := range append(files, sources...) {
		b, err := os.ReadFile(filepath.Join(tools, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, name, len(b))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// lockFile waits for an exclusive lock on path. The kernel drops it when its
// holder dies.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}
