package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// sizeUnits are the units of a size, greatest first within each system.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3},
	{"B", 1},
}

const (
	sizeHint     = "write a whole number and a unit: B, KB, MB, GB, KiB, MiB or GiB, such as 64MiB"
	durationHint = "write a number and a unit: ms, s, m or h, such as 10s, 5m or 1h30m"
)

// parseSize reads a size such as "64MiB" in bytes. Only 0 goes without a unit.
func parseSize(s string) (int64, error) {
	s = strings.TrimSpace(s)
	if s == "0" {
		return 0, nil
	}
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit := strings.TrimSpace(s[len(digits):])
	n, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, errors.New("is too great")
	case err != nil || strings.HasPrefix(digits, "+"):
		return 0, errors.New("is not a size")
	case n < 0:
		return 0, errors.New("is negative")
	case unit == "":
		return 0, errors.New("has no unit")
	}
	for _, u := range sizeUnits {
		if u.name == unit {
			if n > math.MaxInt64/u.bytes {
				return 0, errors.New("is too great")
			}
			return n * u.bytes, nil
		}
	}
	return 0, fmt.Errorf("has the unknown unit %q", clip(unit))
}

// parseDuration reads a duration such as "1h30m". Only 0 goes without a unit.
func parseDuration(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	d, err := time.ParseDuration(s)
	if err != nil {
		if _, e := strconv.ParseFloat(s, 64); e == nil {
			return 0, errors.New("has no unit")
		}
		return 0, errors.New("is not a duration")
	}
	if d < 0 {
		return 0, errors.New("is negative")
	}
	return d, nil
}

// clip bounds what an error repeats of the file.
func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// nearest returns the name that s was probably meant to be, or "".
func nearest(s string, names []string) string {
	if len(s) > 64 {
		return ""
	}
	best, least := "", 1+max(1, len(s)/3)
	for _, name := range names {
		if d := distance(s, name); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two short ASCII words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
