package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// fleet lets many devices lose one service for an hour, in virtual time. The gate
// of each is the engine's own, which nobody outside of its package can reach: so
// it is one of the engine's tests, here with as many devices as are asked for.
func fleet(ctx context.Context, args []string) (*report, error) {
	fs := flag.NewFlagSet("fleet", flag.ContinueOnError)
	n := fs.Int("n", 10_000, "devices")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-run=^TestAFleet", "github.com/seed-7270d448/dray/engine", fmt.Sprintf("-fleet=%d", *n))
	text, err := cmd.CombinedOutput()
	out := &report{}
	out.figure("experiment", "%d devices, their service out for an hour", *n)
	said := regexp.MustCompile(`^\s+\w+_test\.go:\d+: (.*)`)
	name := ""
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if run, ok := strings.CutPrefix(lines.Text(), "=== RUN "); ok {
			_, name, _ = strings.Cut(run, "/")
			name = strings.ReplaceAll(name, "_", " ")
		}
		switch m := said.FindStringSubmatch(lines.Text()); {
		case m == nil:
		case strings.Contains(m[1], "devices, steady"):
			out.figure(name, "%s", m[1])
		default:
			out.violation("%s: %s", name, m[1])
		}
	}
	if err != nil && !out.broken() {
		return out, fmt.Errorf("%w\n%s", err, text)
	}
	return out, nil
}
