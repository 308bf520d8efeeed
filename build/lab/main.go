// Command lab breaks Dray on purpose and counts what it cost.
//
//	go run ./build/lab kill9 -n 200     SIGKILL at random moments, then check every line
//	go run ./build/lab crash            cut the power at every file-system operation
//	go run ./build/lab faults-disk      let every file-system operation fail, in every way
//	go run ./build/lab clock            a clock that starts in 1970 and is stepped; keys must be right
//	go run ./build/lab mutants          take away each sync and each rule in turn; crash must find it
//	go run ./build/lab wear             bytes that reach the flash for each byte kept; as root
//	go run ./build/lab rot              spoil every byte of journal and receipts, bytes of the spool
//	go run ./build/lab backlog          100,000 objects and 10 GiB that wait: start-up, memory, status
//	go run ./build/lab stall            every tenth sync takes 2 s; nothing may be lost
//	go run ./build/lab faults -n 10000  seeded random fault scripts between engine and S3 server
//	go run ./build/lab fleet            10,000 devices lose one service for an hour, in virtual time
//	go run ./build/lab link             bad links: what gets through, beside other programs
//	go run ./build/lab budget           kills while a budget is used up, counted by the interface
//	go run ./build/lab lies             a link that lies and breaks, in a network namespace
//	go run ./build/lab soak             a day with a bad link, kills and power cuts, in minutes
//	go run ./build/lab compress         what compression saves, and what it costs
//	go run ./build/lab proxy            the fault proxy alone, for experiments by hand
//
// kill9 and stall run the real daemon, a real pseudo-terminal as its sensor and
// a real S3 server; faults runs the real engine and S3 client. Each experiment
// judges from outside alone, by what the server holds, prints a table and exits
// 1 if a promise was broken. It must never share code with what it judges,
// beyond the names of status and receipt fields.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// An experiment runs with its own flags and reports on r.
type experiment struct {
	name, short string
	run         func(ctx context.Context, args []string) (*report, error)
}

var experiments = []experiment{
	{"kill9", "SIGKILL at random moments", kill9},
	{"stall", "every tenth sync takes 2 s", stall},
	{"faults", "seeded random fault scripts between engine and S3 server", faults},
	{"fleet", "many devices lose one service for an hour, in virtual time", fleet},
	{"link", "bad links: what gets through, beside other programs", badLinks},
	{"budget", "kills while a budget is used up, counted by the interface", budget},
	{"lies", "a link that lies and breaks, in a network namespace", lies},
	{"soak", "a day with a bad link, kills and power cuts, in minutes", soak},
	{"compress", "what compression saves on flash and link, and what it costs", compress},
	{"proxy", "the fault proxy alone, before a server of yours", proxyCommand},
	{"crash", "cut the power before every file-system operation", crash},
	{"backlog", "100,000 objects and 10 GiB that wait: start-up, memory, status", backlog},
	{"rot", "spoil every byte of journal and receipts, bytes of the spool", rot},
	{"faults-disk", "let every file-system operation fail, in every way", faultsDisk},
	{"clock", "a clock that starts in 1970, and is stepped", clock},
	{"mutants", "take away each sync and each ordering rule; the crash search must find it", mutants},
	{"wear", "bytes that reach the flash for each byte kept", wear},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := choose(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// choose runs the experiment that args name and returns the exit code.
func choose(ctx context.Context, args []string) int {
	if len(args) > 0 {
		for _, e := range experiments {
			if e.name != args[0] {
				continue
			}
			r, err := e.run(ctx, args[1:])
			if r != nil {
				r.print(os.Stdout)
			}
			switch {
			case errors.Is(err, flag.ErrHelp):
				return 2
			case err != nil:
				fmt.Fprintf(os.Stderr, "lab %s: %v\n", e.name, err)
				return 1
			case r != nil && r.broken():
				return 1
			}
			return 0
		}
	}
	fmt.Fprintln(os.Stderr, "usage: go run ./build/lab EXPERIMENT [flags]")
	for _, e := range experiments {
		fmt.Fprintf(os.Stderr, "  %-11s %s\n", e.name, e.short)
	}
	return 2
}
