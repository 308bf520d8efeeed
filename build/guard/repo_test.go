package guard

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/seed-7270d448/dray"

// A pkg is what go list says of a package.
type pkg struct {
	ImportPath   string
	Dir          string
	Standard     bool
	Export       string // file of its exported types
	Doc          string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
	Deps         []string
}

// rel returns the path of p below the module: "transport/s3", "" for others.
func (p *pkg) rel() string {
	rel, ours := strings.CutPrefix(p.ImportPath, module+"/")
	if !ours {
		return ""
	}
	return rel
}

// packages returns the packages of this module and all that they import, by path.
var packages = sync.OnceValues(func() (map[string]*pkg, error) {
	out, err := run("go", "list", "-deps", "-export", "-json=ImportPath,Dir,Standard,Export,Doc,GoFiles,TestGoFiles,XTestGoFiles,Imports,Deps", "./...")
	if err != nil {
		return nil, err
	}
	all := map[string]*pkg{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(pkg)
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all[p.ImportPath] = p
	}
})

// ours returns packages, and those of this module by their path below it.
func ours(t *testing.T) (all, own map[string]*pkg) {
	t.Helper()
	all, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	own = map[string]*pkg{}
	for _, p := range all {
		if rel := p.rel(); rel != "" {
			own[rel] = p
		}
	}
	if len(own) < 5 {
		t.Fatalf("found only %d packages of %s", len(own), module)
	}
	return all, own
}

// root is the top of the checkout.
var root = filepath.Join("..", "..")

// run returns the standard output of a command run at the top of the checkout.
func run(name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = root
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = errors.New(strings.Join(cmd.Args, " ") + ": " + err.Error() + "\n" + string(exit.Stderr))
	}
	return out, err
}
