package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
)

var helpCommand command

// It asks for the table that it stands in, hence not a plain declaration.
func init() {
	helpCommand = command{
		name: "help", args: "[COMMAND]", short: "explain Dray or one command",
		setup: func(*flag.FlagSet) action {
			return func(_ context.Context, out console, args []string) error {
				if len(args) == 0 {
					printHelp(out.Out)
					return nil
				}
				c, ok := find(args[0])
				if !ok {
					return usagef("unknown command %q; dray help lists them", args[0])
				}
				c.printHelp(out.Out)
				return nil
			}
		},
	}
}

func printHelp(w io.Writer) {
	fmt.Fprint(w, `Dray carries data off devices. It reads peripherals, keeps every byte on flash
until a receipt proves that it is archived, and survives power cuts.

usage: dray COMMAND [flags]

`)
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-11s %s\n", c.name, c.short)
	}
	fmt.Fprint(w, `
dray COMMAND -h explains a command. To see the whole path at work on this
machine, with nothing to set up: dray demo

Exit codes: 0 done, 1 failed, 2 wrong usage or config.
`)
}

func (c command) printHelp(w io.Writer) {
	fmt.Fprintf(w, "dray %s: %s\n\nusage: dray %s [flags]", c.name, c.short, c.name)
	if c.args != "" {
		fmt.Fprint(w, " "+c.args)
	}
	fmt.Fprintln(w)
	if c.long != "" {
		fmt.Fprintf(w, "\n%s\n", c.long)
	}
	heading := "\nflags:\n"
	for _, f := range c.flags() {
		value, usage := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(w, "%s  %-16s %s\n", heading, strings.TrimSpace(dashed(f)+" "+value), usage)
		heading = ""
	}
}

// flags returns the flags of c, sorted by name.
func (c command) flags() []*flag.Flag {
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	c.setup(fs)
	var all []*flag.Flag
	fs.VisitAll(func(f *flag.Flag) { all = append(all, f) })
	return all
}

// dashed returns a flag as it is written by habit: -c, --json.
func dashed(f *flag.Flag) string {
	if len(f.Name) == 1 {
		return "-" + f.Name
	}
	return "--" + f.Name
}

// isSwitch reports whether f takes no value.
func isSwitch(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}
