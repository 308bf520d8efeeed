package engine

import (
	"slices"
	"testing"
	"time"
)

func TestAnUploadBelongsToTheJournalOrToNobodyOrToThePast(t *testing.T) {
	const now, past = "8000000000000001", "8000000000000002"
	own := Ownership{Epoch: now, Past: []string{past}, Uploads: []OwnedKey{
		{Destination: "d", Key: "k/" + now, UploadID: "1"},
		{Destination: "d", Key: "under-way/" + now},
		{Destination: "d", Key: "k/" + past, UploadID: "2"},
		{Destination: "other", Key: "elsewhere/" + now, UploadID: "3"},
	}}
	owner := own.owners("d")
	for _, tt := range []struct{ key, id, want string }{
		{"k/" + now, "1", OwnerJournal},
		{"k/" + now, "9", OwnerNobody},
		{"under-way/" + now, "9", OwnerJournal}, // a call is under way: it may be its upload
		{"k/" + past, "2", OwnerJournal},
		{"k/" + past, "9", OwnerPast},
		{"elsewhere/" + now, "3", OwnerNobody},
		{"unknown/" + now, "1", OwnerNobody},
	} {
		if got := owner(tt.key, tt.id, own.epochIn(tt.key)); got != tt.want {
			t.Errorf("upload %s of %s: got %s, want %s", tt.id, tt.key, got, tt.want)
		}
	}
	if got := own.epochIn("gw-18/gps/gps-8000000000000003-00000000000000000000.log"); got != "" {
		t.Errorf("another device's key: got epoch %s, want none", got)
	}
}

func TestOnlyTheKeysOfADeviceAreListed(t *testing.T) {
	cfg := Config{Device: "gw 17", Streams: []Stream{
		{Name: "gps", Key: DefaultKey, Destination: "d"},
		{Name: "can", Key: "{device}/can/{epoch}/{start}", Destination: "d"},
		{Name: "log", Key: "logs/{stream}-{epoch}-{start}", Destination: "elsewhere"},
		{Name: "aux", Key: "logs/aux/{epoch}-{start}", Destination: "d"},
	}}
	templates := templatesFor(cfg, "d")
	if got, want := prefixes(templates, cfg.Device), []string{"gw%2017/", "logs/"}; !slices.Equal(got, want) {
		t.Errorf("prefixes: got %q, want %q", got, want)
	}
	for _, s := range templates[:len(templates)-1] {
		key := s.key.Execute(cfg.Device, s.stream, "80000000000000ff", 12345, 12346, time.Now())
		var got []string
		for _, other := range templates {
			if other.key.match(cfg.Device, other.stream, key) {
				got = append(got, other.stream)
			}
		}
		if !slices.Equal(got, []string{s.stream}) {
			t.Errorf("%s: is of streams %q, want %q", key, got, s.stream)
		}
		if s.key.match("gw-18", s.stream, key) != (s.stream == "log" || s.stream == "aux") {
			t.Errorf("%s: the device does not count", key)
		}
	}
}

func TestAnUploadOfTheJournalIsNeverAborted(t *testing.T) {
	for _, u := range []LeftUpload{{Owner: OwnerJournal}, {Owner: OwnerPast}, {}} {
		if err := AbortUpload(t.Context(), Config{}, u, false); err == nil {
			t.Errorf("owner %q: no error", u.Owner)
		}
	}
	if err := AbortUpload(t.Context(), Config{}, LeftUpload{Owner: OwnerJournal}, true); err == nil {
		t.Error("owner journal, past ones too: no error")
	}
}
