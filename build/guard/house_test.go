package guard

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const maxLines = 450 // of a file

// goFiles returns the Go files of the checkout, by their path below it.
func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() && (rel == "dist" || rel != "." && strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(rel, ".go") {
			files = append(files, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestNoFileGrowsBeyondOneIdea(t *testing.T) {
	for _, name := range goFiles(t) {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, []byte("\n")); n > maxLines {
			t.Errorf("%s: got %d lines, want at most %d; split it by idea", name, n, maxLines)
		}
	}
}

func TestThereAreNoOtherTopLevelFolders(t *testing.T) {
	want := []string{"hal", "wal", "transport", "engine", "cmd", "configs", "build", "dist"}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains(want, e.Name()) {
			t.Errorf("%s/ is not in the layout; it has %s", e.Name(), strings.Join(want, " "))
		}
	}
}

// A skipped test proves nothing, and one that sleeps proves it at times.
func TestTestsNeitherSkipNorSleep(t *testing.T) {
	fset := token.NewFileSet()
	for _, name := range goFiles(t) {
		if !strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, filepath.Join(root, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			switch {
			case !ok:
			case x.Name == "t" && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name):
				t.Errorf("%s: t.%s: make it run, or take it out", fset.Position(call.Pos()), sel.Sel.Name)
			case x.Name == "time" && sel.Sel.Name == "Sleep" && !inBubble(f):
				t.Errorf("%s: time.Sleep: wait for what has to happen, or use testing/synctest", fset.Position(call.Pos()))
			}
			return true
		})
	}
}

// inBubble says that a test file uses testing/synctest, where time is not real.
func inBubble(f *ast.File) bool {
	return slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` })
}
