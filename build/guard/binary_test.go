package guard

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const maxBinary = 10 << 20 // bytes, armv7, stripped, everything in it

func TestTheARMBinaryIsStaticAndFitsItsBudget(t *testing.T) {
	dist := t.TempDir()
	cmd := exec.Command("bash", "build/build.sh", "armv7")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "DIST="+dist)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build.sh: %v\n%s", err, out)
	}
	name := filepath.Join(dist, "dray-linux-armv7")
	fi, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("dray-linux-armv7: %d KiB of %d", fi.Size()>>10, maxBinary>>10)
	if fi.Size() > maxBinary {
		t.Errorf("dray-linux-armv7: got %d bytes, want at most %d", fi.Size(), maxBinary)
	}
	f, err := elf.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("dray-linux-armv7 asks for a dynamic linker")
		}
	}
	if s := f.Section(".symtab"); s != nil {
		t.Error("dray-linux-armv7 is not stripped")
	}
}

// One reachable call of reflect's Method or MethodByName with a name that the
// linker does not know keeps every exported method of the whole binary.
func TestNothingTurnsDeadCodeEliminationOff(t *testing.T) {
	cmd := exec.Command("go", "build", "-ldflags=-dumpdep", "-o", filepath.Join(t.TempDir(), "dray"), "./cmd/dray")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%.2000s", err, out)
	}
	if len(out) < 1<<16 {
		t.Fatalf("the linker told only %d bytes of what depends on what", len(out))
	}
	for line := range bytes.Lines(out) {
		if bytes.Contains(line, []byte("<ReflectMethod>")) {
			t.Errorf("%s", strings.TrimSpace(string(line)))
		}
	}
}

// Each type that slices.SortFunc sorts is 12 KiB of code and names; sort.Slice
// has one body for all.
func TestStructsAreSortedByOneSort(t *testing.T) {
	for _, name := range goFiles(t) {
		if strings.HasPrefix(name, "build/") || strings.Contains(name, "test/") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, costly := range []string{"slices.SortFunc(", "slices.SortStableFunc(", "slices.SortedFunc("} {
			if bytes.Contains(b, []byte(costly)) {
				t.Errorf("%s: %s...): use sort.Slice or sort.SliceStable", name, costly)
			}
		}
	}
}
