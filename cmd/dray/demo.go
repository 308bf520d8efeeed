package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/seed-7270d448/dray/cmd/dray/internal/demo"
)

var demoCommand = command{
	name: "demo", short: "see the whole path at work on this machine, kill -9 included",
	long: `A pseudo-terminal plays a GPS receiver, a dray of its own reads it into a folder,
is killed half way and started again; then the archive is compared with what was
sent, byte for byte. Nothing is installed, nothing leaves the machine, and what
was made stays in DIR for a look. Exits 0 if every promise held.

DRAY_DEMO_EXEC is the command that starts dray, if it is not this very program,
as under an emulator: DRAY_DEMO_EXEC="qemu-arm-static ./dray".`,
	setup: func(fs *flag.FlagSet) action {
		dir := fs.String("dir", "", "put everything into the new or empty folder `DIR` (default: one in the temporary folder)")
		seconds := fs.Int("seconds", 15, "let the sensor send for `N` seconds, 2 to 600")
		return func(ctx context.Context, out console, args []string) error {
			if err := noArgs(args); err != nil {
				return err
			}
			if *seconds < 2 || *seconds > 600 {
				return usagef("--seconds %d is not 2 to 600", *seconds)
			}
			program := strings.Fields(os.Getenv("DRAY_DEMO_EXEC"))
			if len(program) == 0 {
				self, err := os.Executable()
				if err != nil {
					return fmt.Errorf("find this program: %w; set DRAY_DEMO_EXEC", err)
				}
				program = []string{self}
			}
			return demo.Run(ctx, demo.Config{Dir: *dir, Length: time.Duration(*seconds) * time.Second, Program: program, Out: out.Out})
		}
	},
}
