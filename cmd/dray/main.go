package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/seed-7270d448/dray/cmd/dray/internal/config"
	"github.com/seed-7270d448/dray/engine"
)

// What the process exits with.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // usage or config; also a state folder that another process holds
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// From the first signal on, a second one does what it does by default: it
	// ends the process at once. Everything kept stays kept.
	context.AfterFunc(ctx, stop)
	os.Exit(Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// A command is one word of the command line.
type command struct {
	name  string
	args  string // what may follow the flags
	short string // one line, for the list of commands
	long  string // the rest of its help
	setup func(fs *flag.FlagSet) action
}

// An action does what a command is for. It ends soon after ctx is cancelled.
type action func(ctx context.Context, out console, args []string) error

// A console is where a command prints: results to Out, anything else to Err.
type console struct{ Out, Err io.Writer }

// commands is the table of commands, in the order of help.
func commands() []command {
	return []command{
		runCommand, checkCommand, statusCommand, flushCommand, receiptsCommand,
		uploadsCommand, doctorCommand, verifyCommand, auditCommand, glacierCommand,
		inspectCommand, exportCommand, demoCommand, versionCommand, completionCommand, helpCommand,
	}
}

// usageError is a mistake on the command line.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Main runs the command line args, without the program's name, and returns the
// exit code. Cancelling ctx is what SIGTERM does.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out := console{stdout, stderr}
	if len(args) == 0 {
		printHelp(stderr)
		return exitUsage
	}
	name := args[0]
	switch name {
	case "-h", "-help", "--help":
		name = "help"
	case "-version", "--version":
		name = "version"
	}
	c, ok := find(name)
	if !ok {
		fmt.Fprintf(stderr, "dray: unknown command %q; dray help lists them\n", name)
		return exitUsage
	}
	err := c.run(ctx, out, args[1:])
	if err == nil {
		return exitDone
	}
	var bad *config.Error
	if errors.As(err, &bad) {
		fmt.Fprintln(stderr, bad) // each line begins with file:line:column, as editors like it
	} else {
		fmt.Fprintf(stderr, "dray %s: %v\n", c.name, err)
	}
	return exitCode(err)
}

func exitCode(err error) int {
	var (
		usage usageError
		bad   *config.Error
		inUse *engine.InUseError
	)
	if errors.As(err, &usage) || errors.As(err, &bad) || errors.As(err, &inUse) || errors.Is(err, config.ErrUnread) {
		return exitUsage
	}
	return exitFailed
}

func find(name string) (command, bool) {
	for _, c := range commands() {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

// run parses the flags of c, which may stand before or behind its arguments,
// and acts.
func (c command) run(ctx context.Context, out console, args []string) error {
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	act := c.setup(fs)
	var rest []string
	for {
		if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
			c.printHelp(out.Out)
			return nil
		} else if err != nil {
			return usagef("%w; see dray %s -h", err, c.name)
		}
		left := fs.Args()
		if len(left) == 0 {
			break
		}
		if at := len(args) - len(left); at > 0 && args[at-1] == "--" {
			rest = append(rest, left...)
			break
		}
		rest, args = append(rest, left[0]), left[1:]
	}
	return act(ctx, out, rest)
}

// noArgs refuses arguments.
func noArgs(args []string) error {
	if len(args) > 0 {
		return usagef("unexpected argument %q", args[0])
	}
	return nil
}

// configFlag adds -c.
func configFlag(fs *flag.FlagSet) *string {
	return fs.String("c", config.DefaultPath, "read the config from `FILE`")
}

// stateFlags adds -c and -state and returns what finds the state folder.
func stateFlags(fs *flag.FlagSet) func() (string, error) {
	state, _ := stateAndConfig(fs)
	return state
}

// stateAndConfig is stateFlags for a command that also reads the config.
func stateAndConfig(fs *flag.FlagSet) (state func() (string, error), file *string) {
	file = configFlag(fs)
	dir := fs.String("state", "", "look at the state folder `DIR` instead of the config's")
	return func() (string, error) {
		path := *dir
		if path == "" {
			var err error
			if path, err = config.StateDir(*file); err != nil {
				return "", err
			}
		}
		return path, isStateFolder(path)
	}, file
}

// isStateFolder says what keeps path from being one.
func isStateFolder(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no state folder %s; dray run makes it when it first starts", path)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", path)
	}
	return nil
}
