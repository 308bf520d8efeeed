package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/engine"
)

const costly = `device: d
link: {rate: 1MiB/s, budgets: [{interface: "wwan*", day: 50MiB, month: 1GiB, reset_day: 5, reserve: 20%%}]}
streams:
  - {name: a, source: {type: stdin}, destination: c, order: newest}
destinations:
  - {name: c, type: s3, bucket: b, region: r, credentials: {access_key_id: i, secret_access_key: s}, rate: %s, windows: [{days: %q, from: %s, to: 24:00}]}
`

func TestWhatALinkMayCostReachesTheEngine(t *testing.T) {
	c, problems := parsed(fmt.Sprintf(costly, "100KiB/s", "fri-mon, wed", "22:30"), noEnv)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	d := c.Engine.Destinations[0]
	want := engine.Window{Days: []time.Weekday{5, 6, 0, 1, 3}, From: 22*time.Hour + 30*time.Minute, To: 24 * time.Hour}
	if len(d.Windows) != 1 || fmt.Sprint(d.Windows[0]) != fmt.Sprint(want) {
		t.Errorf("windows: got %+v, want %+v", d.Windows, want)
	}
	if c.Engine.Streams[0].Order != engine.Newest || c.Engine.Meter == nil || c.Engine.Network == nil || d.Route == nil {
		t.Errorf("order %q, meter %v, a network to watch %v, a route %v", c.Engine.Streams[0].Order, c.Engine.Meter != nil, c.Engine.Network != nil, d.Route != nil)
	}
	if err := engine.Check(c.Engine); err != nil && strings.Contains(err.Error(), "link.") {
		t.Error(err)
	}
}

func TestWhatALinkMayCostIsCheckedWhereItStands(t *testing.T) {
	for _, tt := range []struct{ rate, days, from, key, problem string }{
		{"100KiB", "mon", "22:30", "rate", "does not end in /s"},
		{"100/s", "mon", "22:30", "rate", "has no unit"},
		{"1B/s", "mon", "22:30", "rate", "too slow"},
		{"1MiB/s", "mon-fry", "22:30", "windows[0].days", "not days of the week"},
		{"1MiB/s", "mon", "2230", "windows[0].from", "not a time of the day"},
		{"1MiB/s", "mon", "24:01", "windows[0].from", "not a time of the day"},
		{"1MiB/s", "mon", "9:00", "windows[0].from", "not a time of the day"},
	} {
		_, problems := parsed(fmt.Sprintf(costly, tt.rate, tt.days, tt.from), noEnv)
		if len(problems) != 1 || problems[0].Line != 6 || !strings.HasPrefix(problems[0].Text, "destinations[0]."+tt.key+": ") || !strings.Contains(problems[0].Text, tt.problem) {
			t.Errorf("%+v: got %v", tt, problems)
		}
	}
}

func TestABudgetThatLetsNothingThroughIsRefused(t *testing.T) {
	for _, tt := range []struct{ budget, want string }{
		{`{interface: "*"}`, "link.budgets[0]: bounds nothing"},
		{`{interface: "[", day: 1GiB}`, "link.budgets[0].interface"},
		{`{interface: "*", day: 5MiB}`, "link.budgets[0].day: 5 MiB never lets a part of 8 MiB"},
		{`{interface: "*", day: 10MiB, reserve: 50%}`, "link.budgets[0].day"},
		{`{interface: "*", day: 1GiB, reset_day: 31}`, "link.budgets[0].reset_day"},
		{`{interface: "*", day: 1GiB, reserve: 95%}`, "link.budgets[0].reserve"},
		{`{interface: "*", day: 1GiB}, {interface: "*", month: 1GiB}`, "link.budgets[1].interface"},
	} {
		text := strings.Replace(fmt.Sprintf(costly, "1MiB/s", "mon", "22:30"), `{interface: "wwan*", day: 50MiB, month: 1GiB, reset_day: 5, reserve: 20%}`, tt.budget, 1)
		c, problems := parsed(text, noEnv)
		if len(problems) > 0 {
			t.Errorf("%s: %v", tt.budget, problems)
			continue
		}
		if err := engine.Check(c.Engine); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.budget, err, tt.want)
		}
	}
}
