package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set when a release is built, with -ldflags "-X main.version=...".
// Otherwise what the Go tool knows of the checkout counts.
var version string

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

var versionCommand = command{
	name: "version", short: "say which Dray this is",
	setup: func(fs *flag.FlagSet) action {
		asJSON := fs.Bool("json", false, "print JSON")
		return func(_ context.Context, out console, args []string) error {
			if err := noArgs(args); err != nil {
				return err
			}
			v := map[string]string{"version": versionText(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH}
			if *asJSON {
				return json.NewEncoder(out.Out).Encode(v)
			}
			_, err := fmt.Fprintf(out.Out, "dray %s (%s, %s/%s)\n", v["version"], v["go"], v["os"], v["arch"])
			return err
		}
	},
}
