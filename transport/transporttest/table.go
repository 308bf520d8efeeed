package transporttest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// CheckTable reads the table below heading in doc.go of the package under test:
// rows of what a reference says, where it is handled and which tests prove it. It
// fails for a name that does not exist, and for less than so many rows, and
// returns the words of the first column.
func CheckTable(t *testing.T, heading string, least int) map[string]bool {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	code, tests := map[string]bool{}, map[string]bool{}
	declared(t, ".", "", false, code)
	declared(t, "..", "transport.", false, code)
	declared(t, "../link", "link.", false, code)
	declared(t, ".", "", true, tests)
	_, table, found := strings.Cut(string(doc), heading)
	if !found {
		t.Fatalf("doc.go has no %q", heading)
	}
	words, rows := map[string]bool{}, 0
	for line := range strings.Lines(table) {
		row, ok := strings.CutPrefix(line, "//\t")
		if !ok {
			continue
		}
		rows++
		cells := strings.Split(row, "|")
		if len(cells) != 3 {
			t.Errorf("%d cells, want what, where and test: %s", len(cells), row)
			continue
		}
		for _, w := range strings.FieldsFunc(cells[0], func(r rune) bool { return strings.ContainsRune(" ,;:.()\n", r) }) {
			words[w] = true
		}
		for i, names := range []map[string]bool{code, tests} {
			for _, name := range strings.Split(cells[i+1], ",") {
				if name = strings.TrimSpace(name); !names[name] {
					t.Errorf("%q does not exist: %s", name, row)
				}
			}
		}
		for _, name := range strings.Split(cells[2], ",") {
			if !strings.HasPrefix(strings.TrimSpace(name), "Test") {
				t.Errorf("%q is no test: %s", name, row)
			}
		}
	}
	if rows < least {
		t.Errorf("%d rows, want at least %d: the reference has more to say", rows, least)
	}
	return words
}

// declared adds every name that dir's files declare, methods as Type.Name;
// those of a test file only if tests is set.
func declared(t *testing.T, dir, prefix string, tests bool, names map[string]bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", dir, len(files), err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") != tests {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				name := d.Name.Name
				if d.Recv != nil {
					of := d.Recv.List[0].Type
					if star, ok := of.(*ast.StarExpr); ok {
						of = star.X
					}
					if id, ok := of.(*ast.Ident); ok {
						name = id.Name + "." + name
					}
				}
				names[prefix+name] = true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						names[prefix+spec.Name.Name] = true
					case *ast.ValueSpec:
						for _, id := range spec.Names {
							names[prefix+id.Name] = true
						}
					}
				}
			}
		}
	}
}
