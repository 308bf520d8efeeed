package transporttest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// Two servers can be built: one as it is, and one that takes parts of any size.
var (
	gatewayProgram    = sync.OnceValues(func() (string, error) { return buildTool("s3server", "build/tools", "./s3server", nil) })
	smallPartsProgram = sync.OnceValues(func() (string, error) {
		return buildTool("s3server-small", "build/tools", "./s3server", withSmallParts)
	})
)

// treeHashProgram is what a TreeHasher runs.
var treeHashProgram = sync.OnceValues(func() (string, error) { return buildTool("treehash", "build/treehash", ".", nil) })

// buildTool returns the path of a binary made of the package pkg of a module in
// this checkout, and builds it first if need be; prepare, which may be nil, returns
// further arguments for that.
// The binary is kept in the user's cache folder under a name that holds a hash of all it is made from, so that it is built once a checkout and
// not once a test binary; a file lock makes parallel test binaries wait for
// the one that builds.
func buildTool(name, module, pkg string, prepare func(tools, scratch string) (args []string, err error)) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	tools := filepath.Join(root, filepath.FromSlash(module))
	sum, err := hashSources(tools, pkg)
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
	unlock, err := lockFile(filepath.Join(cache, name+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	program := filepath.Join(cache, name+"-"+sum)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	// Renamed when complete: a build that is killed leaves no half program.
	half := program + ".new"
	scratch, err := os.MkdirTemp("", "dray-build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	args := []string{"build", "-trimpath", "-ldflags=-s -w", "-o", half}
	if prepare != nil {
		more, err := prepare(tools, scratch)
		if err != nil {
			return "", fmt.Errorf("build %s: %w", name, err)
		}
		args = append(args, more...)
	}
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Dir = tools
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOOS=", "GOARCH=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", filepath.Join(tools, pkg), err, out)
	}
	if err := os.Rename(half, program); err != nil {
		return "", err
	}
	return program, nil
}

const gatewayModule = "github.com/versity/versitygw"

// withSmallParts prepares a build in which the one constant that forbids parts
// of less than 5 MiB is 1. Thousands of uploads of several parts are then a
// matter of minutes, against code that is otherwise the server's own.
func withSmallParts(tools, scratch string) ([]string, error) {
	source, err := download(tools, gatewayModule)
	if err != nil {
		return nil, err
	}
	copied := filepath.Join(scratch, "versitygw")
	if err := os.CopyFS(copied, os.DirFS(source)); err != nil {
		return nil, err
	}
	name := filepath.Join(copied, "backend", "common.go")
	if err := os.Chmod(name, 0o644); err != nil {
		return nil, err
	}
	if err := replaceIn(name, "MinPartSize = 5 * 1024 * 1024", "MinPartSize = 1"); err != nil {
		return nil, err
	}
	mod := filepath.Join(scratch, "go.mod")
	sum, err := os.ReadFile(filepath.Join(tools, "go.sum"))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(scratch, "go.sum"), sum, 0o644); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(tools, "go.mod"))
	if err != nil {
		return nil, err
	}
	b = fmt.Appendf(b, "\nreplace %s => %s\n", gatewayModule, copied)
	return []string{"-modfile=" + mod}, os.WriteFile(mod, b, 0o644)
}

// download returns the folder of a module's source, fetched if it is not there
// yet. ("go list -m" of one that was never fetched says nothing, without an error.)
func download(tools, module string) (dir string, err error) {
	cmd := exec.Command("go", "mod", "download", "-json", module)
	cmd.Dir = tools
	out, err := cmd.Output()
	var got struct{ Dir, Error string }
	if jerr := json.Unmarshal(out, &got); jerr == nil && got.Dir != "" {
		return got.Dir, nil
	}
	return "", fmt.Errorf("download %s: %w: %s", module, cmp.Or(err, errors.New("it has no folder")), got.Error)
}

// replaceIn makes the one old text in a file new.
func replaceIn(name, old, new string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if n := strings.Count(string(b), old); n != 1 {
		return fmt.Errorf("%s: has %q %d times, want once: it is another version", name, old, n)
	}
	return os.WriteFile(name, []byte(strings.Replace(string(b), old, new, 1)), 0o644)
}

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

// hashSources identifies what a program is built from: its source, the
// versions of all modules, and the toolchain.
func hashSources(tools, pkg string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	files := []string{"go.mod", "go.sum"}
	sources, err := fs.Glob(os.DirFS(tools), path.Join(pkg, "*.go"))
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
