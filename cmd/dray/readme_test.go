package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/seed-7270d448/dray/cmd/dray/internal/config"
	"github.com/seed-7270d448/dray/cmd/dray/internal/control"
	"github.com/seed-7270d448/dray/hal"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/local"
	"github.com/seed-7270d448/dray/transport/s3"
)

// README.md makes claims. What of them a machine can check is checked here:
// commands, configs, code, names and numbers.

const top = "../.." // of the repository

func readme(t *testing.T) string { return source(t, "README.md") }

func source(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(top, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// fenced returns the code blocks of a language.
func fenced(t *testing.T, language string) []string {
	t.Helper()
	var blocks []string
	for _, m := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(readme(t), -1) {
		if m[1] == language {
			blocks = append(blocks, m[2])
		}
	}
	if len(blocks) == 0 {
		t.Fatalf("README.md has no block of %s", language)
	}
	return blocks
}

// shell returns every command that is shown, in a block or within a sentence,
// without its comment.
func shell(t *testing.T) []string {
	t.Helper()
	lines := strings.Split(strings.Join(fenced(t, "sh"), "\n"), "\n")
	for _, m := range regexp.MustCompile("`([^`\n]+ [^`\n]+)`").FindAllStringSubmatch(readme(t), -1) {
		lines = append(lines, m[1])
	}
	for i, line := range lines {
		line, _, _ = strings.Cut(line, " #")
		lines[i] = strings.TrimSpace(line)
	}
	return lines
}

// accepted says whether the command line takes args. It parses them all and
// then only explains the command.
func accepted(args []string) error {
	var out, trouble bytes.Buffer
	if code := Main(context.Background(), append(slices.Clone(args), "-h"), &out, &trouble); code != exitDone {
		return fmt.Errorf("exit code %d: %s", code, trouble.String())
	}
	return nil
}

func TestREADMECommandsAreAccepted(t *testing.T) {
	if accepted([]string{"status", "--wach"}) == nil || accepted([]string{"statu"}) == nil {
		t.Fatal("anything is accepted")
	}
	ours := regexp.MustCompile(`(?:^|[|(;&]\s*)(?:dray|go run \./cmd/dray)((?:\s+[^\s|()<>;&]+)+)`)
	seen := map[string]bool{}
	for _, line := range shell(t) {
		for _, m := range ours.FindAllStringSubmatch(line, -1) {
			args := strings.Fields(m[1])
			if err := accepted(args); err != nil {
				t.Errorf("%s: %v", m[0], err)
			}
			seen[args[0]] = true
		}
	}
	for _, c := range commands() {
		if !seen[c.name] && c.name != "help" && c.name != "version" {
			t.Errorf("dray %s is not shown", c.name)
		}
	}
}

// The programs below build/ explain themselves in the same way.
func TestREADMECampaignsTakeTheirFlags(t *testing.T) {
	dir := t.TempDir()
	tool := regexp.MustCompile(`^go run \./build/(\w+)(.*)`)
	seen := map[string]bool{}
	for _, line := range shell(t) {
		if steps, ok := strings.CutPrefix(line, ".ci/run "); ok {
			known, err := exec.Command("bash", filepath.Join(top, ".ci/run"), "-h").Output()
			if err != nil || !slices.Contains(strings.Fields(string(known)), steps) {
				t.Errorf("%s: got %q, %v", line, known, err)
			}
		}
		m := tool.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		program := filepath.Join(dir, m[1])
		if !seen[m[1]] {
			cmd := exec.Command("go", "build", "-o", program, "./build/"+m[1])
			cmd.Dir = top
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("build %s: %v\n%s", m[1], err, out)
			}
			seen[m[1]] = true
		}
		out, err := exec.Command(program, append(strings.Fields(m[2]), "-h")...).CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) || !bytes.HasPrefix(out, []byte("Usage of ")) {
			t.Errorf("%s: got %v\n%s", line, err, out)
		}
	}
	if len(seen) < 2 {
		t.Errorf("only %d campaigns were found", len(seen))
	}
}

// written writes a config of the README into a new folder, with the files that
// it names beside it.
func written(t *testing.T, text string) (path string) {
	t.Helper()
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	dir := t.TempDir()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	path = filepath.Join(dir, "dray.yaml")
	for name, content := range map[string]string{
		path:                              strings.Replace(text, config.DefaultStateDir, filepath.Join(dir, "state"), 1),
		filepath.Join(dir, "credentials"): "aws_access_key_id = id\naws_secret_access_key = secret\n",
		filepath.Join(dir, "ca.pem"):      string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})),
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestREADMEConfigIsGood(t *testing.T) {
	for _, text := range fenced(t, "yaml") {
		var out, trouble bytes.Buffer
		if code := Main(context.Background(), []string{"check", "-c", written(t, text)}, &out, &trouble); code != exitDone {
			t.Errorf("dray check: exit code %d\n%s", code, trouble.String())
		}
	}
}

// An unknown key is told together with those that are known in its place: so
// one in each mapping brings the whole schema to light. What is not in the
// README's config is in a sample that the README names, if only as a comment.
func TestREADMEConfigHasEveryKey(t *testing.T) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(fenced(t, "yaml")[0]), &doc); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for _, sample := range regexp.MustCompile(`configs/[a-z0-9-]+\.yaml`).FindAllString(readme(t), -1) {
		text, err := os.ReadFile(filepath.Join("..", "..", sample))
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range regexp.MustCompile(`(?m)(?:^|[{,]|# )\s*(?:- )?([a-z_]+):`).FindAllSubmatch(text, -1) {
			keys[string(key[1])] = true
		}
	}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		for i, c := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 {
				keys[c.Value] = true
			}
			walk(c)
		}
		if n.Kind == yaml.MappingNode {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "no_such_key_at_all"}, &yaml.Node{Kind: yaml.ScalarNode, Value: "x"})
		}
	}
	walk(&doc)
	text, err := yaml.Marshal(&doc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = config.Load(written(t, string(text)))
	var bad *config.Error
	if !errors.As(err, &bad) {
		t.Fatalf("unknown keys: got %v", err)
	}
	told := 0
	for _, p := range bad.Problems {
		names, ok := strings.CutPrefix(p.Hint, "known here: ")
		if !ok {
			continue
		}
		told++
		for name := range strings.SplitSeq(names, ", ") {
			if !keys[name] {
				t.Errorf("%s knows %s, which the README's config lacks", p.Text, name)
			}
		}
	}
	if told < 15 {
		t.Errorf("only %d mappings told what they know:\n%v", told, bad)
	}
}

func TestREADMENumbersAreThoseOfTheCode(t *testing.T) {
	bucket, err := s3.New(s3.Config{Bucket: "b", Region: "r", AccessKeyID: "i", SecretAccessKey: "s"})
	if err != nil {
		t.Fatal(err)
	}
	folder, err := local.New(local.Config{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s, l := bucket.Limits(), folder.Limits()
	parts := func(l transport.Limits) string {
		return fmt.Sprintf("%d,%03d parts of", l.MaxParts/1000, l.MaxParts%1000)
	}
	text := strings.Join(strings.Fields(readme(t)), " ")
	for _, want := range []string{
		fmt.Sprintf("| `state_dir` | `%s` |", config.DefaultStateDir),
		fmt.Sprintf("| `streams.framing.max_record` | `%s` | at most `%s` |", size(hal.DefaultMaxRecord), size(hal.MaxRecord)),
		fmt.Sprintf("| `destinations.part_size` of `s3` | `%s`, more for very large objects | `%s` to `%s` |", size(s.PartSize), size(s.MinPart), size(s.MaxPart)),
		fmt.Sprintf("| `destinations.part_size` of `local` | `%s`, more for very large objects | at least `%s` |", size(l.PartSize), size(l.MinPart)),
		parts(s), parts(l), fmt.Sprintf("and %d TiB in all", s.MaxObject>>40),
		"curl --unix-socket " + filepath.Join(config.DefaultStateDir, control.Name) + " http://dray/metrics",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("README.md lacks %q", want)
		}
	}
}

// size writes bytes as a config does.
func size(n int64) string {
	unit := 0
	for ; n >= 1<<10 && n%(1<<10) == 0; n >>= 10 {
		unit++
	}
	return fmt.Sprint(n) + []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}[unit]
}

func TestREADMELibraryCodeIsTheExample(t *testing.T) {
	example := source(t, "engine/example_test.go")
	for _, code := range fenced(t, "go") {
		if !strings.Contains(example, "\n"+code) {
			t.Errorf("engine/example_test.go does not hold\n%s", code)
		}
	}
}

func TestREADMENamesWhatExists(t *testing.T) {
	text := readme(t)
	paths := map[string]bool{}
	for _, pattern := range []string{
		`\]\(([^):#]+)\)`,             // a link
		"(?:^|[\\s`'])\\./([\\w/-]+)", // a package
		"(?:^|[\\s`'[])((?:\\.ci|build|cmd|configs|engine|hal|transport|wal)/[\\w./-]*\\w)",
	} {
		for _, m := range regexp.MustCompile("(?m)"+pattern).FindAllStringSubmatch(text, -1) {
			paths[m[1]] = true
		}
	}
	for path := range paths {
		if _, err := os.Stat(filepath.Join(top, path)); err != nil {
			t.Error(err)
		}
	}
	tests := regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`).FindAllString(text, -1)
	if len(paths) < 10 || len(tests) < 10 {
		t.Fatalf("found only %d paths and %d tests", len(paths), len(tests))
	}
	exist := map[string]bool{}
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (\w+)\(`).FindAllSubmatch(b, -1) {
			exist[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tests {
		if !exist[name] {
			t.Errorf("there is no %s", name)
		}
	}
}

func TestREADMENamesEachDependencyAndNoOther(t *testing.T) {
	list := func(args ...string) []string {
		cmd := exec.Command("go", append([]string{"list"}, args...)...)
		cmd.Dir = top
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list %s: %v", strings.Join(args, " "), err)
		}
		return strings.Fields(string(out))
	}
	direct := list("-m", "-f", "{{if not (or .Main .Indirect)}}{{.Path}}{{end}}", "all")
	shipped := list("-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./cmd/dray")
	named := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([\\w.-]+\\.[\\w.-]+/[^`]+)` \\| (.+) \\|$").FindAllStringSubmatch(readme(t), -1) {
		named[m[1]] = m[2]
	}
	for _, path := range direct {
		reason, ok := named[path]
		if forTests := strings.HasPrefix(reason, "tests only"); !ok || forTests == slices.Contains(shipped, path) {
			t.Errorf("%s: got the reason %q; part of the binary: %t", path, reason, slices.Contains(shipped, path))
		}
		delete(named, path)
	}
	for path := range named {
		t.Errorf("%s is not required by go.mod", path)
	}
}
