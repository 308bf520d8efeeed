// Command bench measures what it costs to carry bytes from a pipe through
// Dray's spool into an S3 server on this machine, beside programs that only copy.
//
//	go run ./build/bench                    1 GiB, http and https, parts of 5, 64 and 512 MiB, three checksums
//	go run ./build/bench -n 4GiB -tls=false
//	go run ./build/bench -n 4GiB -s3=false -vault 1MiB,4GiB
//
// CPU is user and system time of the measured process alone, as the kernel
// counts it; the server, and the bench that fills the pipe, are not in it. All
// rows come from one run on one machine, so the ratios mean something where the
// seconds do not. Each object's bytes are counted on the server's disk, and what
// a program reads is counted by the kernel: of Dray all that it does not read
// from the pipe, which is each byte of the spool once, and 40 bytes a frame.
//
// It must never measure a program built in another way than the ones shipped.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := bench(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	size, parts := byteSize(1<<30), sizes{5 << 20, 64 << 20, 512 << 20}
	fs.Var(&size, "n", "bytes to send, such as 1GiB")
	fs.Var(&parts, "parts", "part sizes of dray, comma-separated")
	buckets := fs.Bool("s3", true, "measure the way to S3")
	tls := fs.Bool("tls", true, "measure https too")
	others := fs.Bool("others", true, "measure curl and s5cmd too, where installed")
	vault := fs.String("vault", "8MiB,512MiB", "part sizes of dray to a Glacier vault, comma-separated; empty: not measured")
	dir := fs.String("dir", "", "where to put the spool and the server's folder; default: the temporary folder")
	if err := fs.Parse(args); err != nil {
		return err
	}
	r, err := newRig(ctx, *dir, int64(size))
	if err != nil {
		return err
	}
	var rows []row
	if *buckets {
		rows, err = r.all(ctx, *tls, *others, parts)
	}
	if err == nil && *vault != "" {
		rows, err = r.vaults(ctx, rows, *vault)
	}
	printTable(os.Stdout, int64(size), rows)
	return errors.Join(err, r.Close())
}

// all measures every program, each on a fresh server.
func (r *rig) all(ctx context.Context, tls, others bool, parts sizes) (rows []row, err error) {
	schemes := []bool{false}
	if tls {
		schemes = append(schemes, true)
	}
	for _, secure := range schemes {
		var subjects []subject
		if others {
			subjects = append(subjects, curl{}, s5cmd{})
		}
		for _, p := range parts {
			subjects = append(subjects, dray{partSize: p})
		}
		for _, sum := range []string{"crc64nvme", "sha256"} {
			subjects = append(subjects, dray{partSize: parts[0], checksum: sum})
		}
		for _, s := range subjects {
			if _, err := exec.LookPath(s.program(r)); err != nil {
				fmt.Fprintf(os.Stderr, "%s is not installed: not measured\n", s.program(r))
				continue
			}
			fmt.Fprintf(os.Stderr, "%s, https %t …\n", s.name(), secure)
			got, err := r.measure(ctx, s, secure)
			if err != nil {
				return rows, fmt.Errorf("%s: %w", s.name(), err)
			}
			rows = append(rows, got)
		}
	}
	return rows, nil
}

// vaults measures the way to a Glacier vault, which wants two hashes of each part.
func (r *rig) vaults(ctx context.Context, rows []row, list string) ([]row, error) {
	var parts sizes
	if err := parts.Set(list); err != nil {
		return rows, err
	}
	for _, p := range parts {
		fmt.Fprintf(os.Stderr, "dray to a vault, parts of %s …\n", p.String())
		got, err := r.measureVault(ctx, p)
		if err != nil {
			return rows, fmt.Errorf("dray to a vault: %w", err)
		}
		rows = append(rows, got)
	}
	return rows, nil
}

// byteSize is a flag for a number of bytes with a unit.
type byteSize int64

// Set reads "512MiB".
func (b *byteSize) Set(s string) error {
	number, shift := s, 0
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			number, shift = n, 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > 1<<40>>shift {
		return fmt.Errorf("%q is no size; write for example 512MiB", s)
	}
	*b = byteSize(n << shift)
	return nil
}

// String writes the size in the largest unit that divides it.
func (b *byteSize) String() string {
	n, unit := int64(*b), ""
	for _, u := range []string{"KiB", "MiB", "GiB"} {
		if n == 0 || n%1024 != 0 {
			break
		}
		n, unit = n/1024, u
	}
	return strconv.FormatInt(n, 10) + unit
}

// sizes is a flag for a list of sizes.
type sizes []byteSize

// Set reads "5MiB,64MiB".
func (l *sizes) Set(s string) error {
	*l = nil
	for word := range strings.SplitSeq(s, ",") {
		var b byteSize
		if err := b.Set(word); err != nil {
			return err
		}
		*l = append(*l, b)
	}
	return nil
}

// String writes the list as Set reads it.
func (l *sizes) String() string {
	var words []string
	for _, b := range *l {
		words = append(words, b.String())
	}
	return strings.Join(words, ",")
}
