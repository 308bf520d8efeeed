package main

import (
	"fmt"
	"io"
	"strings"
)

// printTable writes the rows, with the ratios of CPU to those of curl and
// s5cmd over the same scheme. reads is how often each byte was read, but from
// the pipe.
func printTable(w io.Writer, size int64, rows []row) {
	if len(rows) == 0 {
		return
	}
	gib := float64(size) / (1 << 30)
	n := byteSize(size)
	fmt.Fprintf(w, "%s each\n", n.String())
	fmt.Fprintf(w, "%-6s %-32s %12s %8s %13s %8s %6s %7s %8s\n", "", "program", "CPU s / GiB", "in OS", "peak RSS MiB", "MiB / s", "reads", "/ curl", "/ s5cmd")
	for _, r := range rows {
		scheme := "http"
		if r.secure {
			scheme = "https"
		}
		fmt.Fprintf(w, "%-6s %-32s %12.2f %8.2f %13.1f %8.0f %6.3f %7s %8s\n", scheme, r.name, r.cpu.Seconds()/gib, r.system.Seconds()/gib, float64(r.rss)/(1<<20),
			gib*1024/r.wall.Seconds(), float64(r.reads)/float64(size), ratio(r, rows, "curl"), ratio(r, rows, "s5cmd"))
	}
}

// ratio returns r's CPU time over that of the named program, "-" if it was not
// measured.
func ratio(r row, rows []row, name string) string {
	for _, other := range rows {
		if other.secure == r.secure && strings.HasPrefix(other.name, name) && other.cpu > 0 {
			return fmt.Sprintf("%.2f", r.cpu.Seconds()/other.cpu.Seconds())
		}
	}
	return "-"
}
