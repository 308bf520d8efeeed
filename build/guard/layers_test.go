package guard

import (
	"path"
	"strings"
	"testing"
)

// mayImport says whether the package from may import the package to, both
// below the module: cmd -> engine -> {transport, hal, wal}, cmd -> transport/*,
// hal/*.
func mayImport(from, to string) bool {
	if strings.HasPrefix(from, "build/") {
		return true // tools, benches and rules stand outside
	}
	if strings.HasPrefix(to, "build/") {
		return false
	}
	if isTestHelp(to) {
		return isTestHelp(from)
	}
	switch top, _, _ := strings.Cut(from, "/"); top {
	case "wal":
		return strings.HasPrefix(to, "wal/")
	case "hal":
		return from != "hal" && (to == "hal" || strings.HasPrefix(to, "hal/internal/"))
	case "transport":
		return from != "transport" && (to == "transport" || to == "transport/link" || to == "transport/creds") || isTestHelp(from) && strings.HasPrefix(to, "transport/")
	case "engine":
		return to == "transport" || to == "hal" || to == "wal"
	case "cmd":
		return !strings.HasPrefix(to, "wal/")
	}
	return false
}

// isTestHelp says that a package is there for tests alone.
func isTestHelp(rel string) bool {
	return rel == "hal/haltest" || rel == "transport/transporttest"
}

func TestImportsGoOneWay(t *testing.T) {
	_, own := ours(t)
	for from, p := range own {
		for _, imp := range p.Imports {
			to, isOurs := strings.CutPrefix(imp, module+"/")
			if isOurs && !mayImport(from, to) {
				t.Errorf("%s must not import %s", from, to)
			}
		}
	}
}

func TestContractsImportOnlyTheStandardLibrary(t *testing.T) {
	all, own := ours(t)
	for _, name := range []string{"hal", "transport"} {
		for _, dep := range own[name].Deps {
			if p := all[dep]; p != nil && !p.Standard {
				t.Errorf("%s depends on %s", name, dep)
			}
		}
	}
}

func TestTheCloudSDKStaysBehindItsDestinations(t *testing.T) {
	_, own := ours(t)
	for from, p := range own {
		if from == "transport/s3" || from == "transport/creds" || from == "transport/glacier" || strings.HasPrefix(from, "build/") {
			continue
		}
		for _, imp := range p.Imports {
			if strings.HasPrefix(imp, "github.com/aws/") {
				t.Errorf("%s must not import %s", from, imp)
			}
		}
	}
}

// What costs megabytes, or turns dead-code elimination off for the whole
// binary, or belongs to tests.
func TestTheBinaryCarriesNothingHeavy(t *testing.T) {
	_, own := ours(t)
	banned := []string{
		"text/template", "html/template", "testing", "net/http/pprof", "expvar",
		"github.com/alecthomas/kong", "github.com/prometheus/client_golang",
		"github.com/aws/aws-sdk-go-v2/config", "github.com/aws/aws-sdk-go-v2/feature/",
		"pgregory.net/rapid", "github.com/rogpeppe/go-internal",
		module + "/hal/haltest", module + "/transport/transporttest",
	}
	for _, dep := range own["cmd/dray"].Deps {
		for _, b := range banned {
			if dep == b || strings.HasPrefix(dep, strings.TrimSuffix(b, "/")+"/") {
				t.Errorf("cmd/dray depends on %s", dep)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	_, own := ours(t)
	for rel, p := range own {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment; put one into %s", rel, path.Join(rel, "doc.go"))
		}
	}
}
