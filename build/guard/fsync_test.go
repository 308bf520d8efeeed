package guard

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// durable are the functions that make bytes durable, or constants that ask for
// it. Who calls them makes a promise, and promises are made in few places.
var durable = map[string]bool{
	"(*os.File).Sync":       true,
	"syscall.Fsync":         true,
	"syscall.Fdatasync":     true,
	"syscall.Sync":          true,
	"syscall.SyncFileRange": true,
	"os.O_SYNC":             true,
	"syscall.O_SYNC":        true,
	"syscall.O_DSYNC":       true,

	"golang.org/x/sys/unix.Fsync":         true,
	"golang.org/x/sys/unix.Fdatasync":     true,
	"golang.org/x/sys/unix.Sync":          true,
	"golang.org/x/sys/unix.Syncfs":        true,
	"golang.org/x/sys/unix.SyncFileRange": true,
	"golang.org/x/sys/unix.Msync":         true,
	"golang.org/x/sys/unix.O_SYNC":        true,
	"golang.org/x/sys/unix.O_DSYNC":       true,
}

// TestOnlyWalAndLocalFsync looks at types, not names: Stream.Sync is not fsync.
func TestOnlyWalAndLocalFsync(t *testing.T) {
	all, own := ours(t)
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(all[path].Export)
	})
	seen := map[string]bool{}
	for rel, p := range own {
		if strings.HasPrefix(rel, "build/") || len(p.GoFiles) == 0 {
			continue
		}
		var files []*ast.File
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		info := types.Info{Uses: map[*ast.Ident]types.Object{}}
		cfg := types.Config{Importer: imports}
		if _, err := cfg.Check(p.ImportPath, fset, files, &info); err != nil {
			t.Fatal(err)
		}
		allowed := rel == "wal" || rel == "transport/local"
		for id, obj := range info.Uses {
			if !durable[fullName(obj)] {
				continue
			}
			seen[rel] = true
			if !allowed {
				t.Errorf("%s: %s is for wal and transport/local alone", fset.Position(id.Pos()), fullName(obj))
			}
		}
	}
	// So that the rule cannot pass by not seeing anything.
	for _, rel := range []string{"wal", "transport/local"} {
		if !seen[rel] {
			t.Errorf("%s calls no fsync that this test can see", rel)
		}
	}
}

func fullName(obj types.Object) string {
	if f, ok := obj.(*types.Func); ok {
		return f.FullName()
	}
	if obj.Pkg() == nil {
		return obj.Name()
	}
	return obj.Pkg().Path() + "." + obj.Name()
}
