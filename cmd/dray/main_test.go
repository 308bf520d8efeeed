package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed-7270d448/dray/cmd/dray/internal/config"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"dray": main})
}

// The command line, as a shell sees it: testdata/script holds the stories.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"RUNTIME_DIRECTORY", "NOTIFY_SOCKET", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "CREDENTIALS_DIRECTORY"} {
				env.Setenv(name, "")
			}
			return nil
		},
	})
}

func TestEachSampleConfigIsGood(t *testing.T) {
	samples, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(samples) == 0 {
		t.Fatalf("samples: got %v, %v", samples, err)
	}
	for _, path := range samples {
		t.Run(filepath.Base(path), func(t *testing.T) {
			sample, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			credentials := filepath.Join(dir, "credentials")
			cert, key := identity(t)
			here := strings.NewReplacer("/var/lib/dray", filepath.Join(dir, "state"), "/etc/dray/credentials", credentials)
			for name, text := range map[string]string{
				credentials:                      "aws_access_key_id = id\naws_secret_access_key = secret\n",
				filepath.Join(dir, "device.pem"): cert,
				filepath.Join(dir, "device.key"): key,
				filepath.Join(dir, "dray.yaml"):  here.Replace(string(sample)),
			} {
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c, err := config.Load(filepath.Join(dir, "dray.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Engine.Streams) == 0 || len(c.Engine.Destinations) == 0 {
				t.Errorf("got %d streams, %d destinations", len(c.Engine.Streams), len(c.Engine.Destinations))
			}
		})
	}
}
