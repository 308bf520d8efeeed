package engine

import (
	"testing"
	"time"

	"github.com/seed-7270d448/dray/wal"
)

func TestTheLifeOfFlashIsReckonedFromWhatWasWritten(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name      string
		wear      wal.Wear
		endurance int64
		perDay    int64
		years     float64
	}{
		{"a start-up says nothing", wal.Wear{Written: 24 << 20, Up: time.Minute}, 1e12, 0, 0},
		{"nobody said what it takes", wal.Wear{Written: 1e9, Up: day}, 0, 1e9, 0},
		{"a tenth is used up", wal.Wear{Written: 365.25e9, Up: 365.25 * 24 * time.Hour}, 3652.5e9, 1e9, 9},
		{"more is written than it takes", wal.Wear{Written: 2e12, Up: 1000 * day}, 1e12, 2e9, 0},
	} {
		if s := flashStatus(tt.wear, tt.endurance); s.PerDay != tt.perDay || s.LifeYears < tt.years-1e-6 || s.LifeYears > tt.years+1e-6 {
			t.Errorf("%s: got %+v, want %d a day, %v years", tt.name, s, tt.perDay, tt.years)
		}
	}
}
