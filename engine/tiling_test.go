package engine

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestTilingFindsEveryHoleAndOverlapInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 60
		var held [size]int // how many tiles hold each offset
		var covered tiling
		end := 0
		for range rapid.IntRange(0, 25).Draw(t, "tiles") {
			start := rapid.IntRange(0, size-1).Draw(t, "start")
			stop := rapid.IntRange(start+1, min(start+8, size)).Draw(t, "end")
			var want Extent
			for i := start; i < stop; i++ {
				if held[i] > 0 {
					if want.End == 0 {
						want.Start = int64(i)
					}
					want.End = int64(i + 1)
				}
				held[i]++
			}
			end = max(end, stop)
			twice, with, err := covered.add(tile{start: int64(start), end: int64(stop), key: "k"})
			if err != nil || twice != want || (with != "") != (want.End > 0) {
				t.Fatalf("add [%d, %d): got %v with %q, %v, want %v", start, stop, twice, with, err, want)
			}
		}
		var want, got []Extent
		for i := 0; i < end; i++ {
			if held[i] > 0 {
				continue
			}
			if n := len(want); n > 0 && want[n-1].End == int64(i) {
				want[n-1].End++
			} else {
				want = append(want, Extent{int64(i), int64(i + 1)})
			}
		}
		covered.between(func(e Extent, _ cover) { got = append(got, e) })
		if !slices.Equal(got, want) {
			t.Fatalf("nothing holds %v, want %v", got, want)
		}
	})
}

func TestTilingKeepsTheGapOfTheObjectBehindAHole(t *testing.T) {
	tiles := []tile{{start: 10, end: 20, gap: 3, key: "b"}, {start: 20, end: 30, gap: 7, key: "c"}, {start: 0, end: 5, key: "a"}, {start: 40, end: 50, gap: 9, key: "e"}, {start: 35, end: 40, gap: 5, key: "d"}}
	permutations(tiles, func(order []tile) {
		var covered tiling
		for _, n := range order {
			if _, _, err := covered.add(n); err != nil {
				t.Fatal(err)
			}
		}
		got := map[string]int64{}
		covered.between(func(_ Extent, c cover) { got[c.key] = c.gap })
		if len(got) != 2 || got["b"] != 3 || got["d"] != 5 {
			t.Fatalf("%v: gaps by object behind a hole: got %v, want b: 3, d: 5", order, got)
		}
		if n := len(covered.covers); n != 3 {
			t.Fatalf("%v: %d covers, want 3", order, n)
		}
	})
}

// permutations calls fn with every order of s.
func permutations[T any](s []T, fn func([]T)) {
	var walk func(n int)
	walk = func(n int) {
		if n == len(s) {
			fn(s)
			return
		}
		for i := n; i < len(s); i++ {
			s[n], s[i] = s[i], s[n]
			walk(n + 1)
			s[n], s[i] = s[i], s[n]
		}
	}
	walk(0)
}

func TestTilingGivesUpRatherThanGrowForEver(t *testing.T) {
	covered := tiling{covers: make([]cover, maxCovers)}
	for i := range covered.covers {
		covered.covers[i].start, covered.covers[i].end = int64(4*i+2), int64(4*i+3)
	}
	if _, _, err := covered.add(tile{start: 0, end: 1}); !errors.Is(err, errPieces) {
		t.Errorf("one piece more: got %v, want %v", err, errPieces)
	}
	if _, _, err := covered.add(tile{start: 3, end: 6}); err != nil {
		t.Errorf("one that joins two: got %v", err)
	}
}
