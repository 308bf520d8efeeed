package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// A vault holds nothing of an archive but its bytes and a description. The lab
// reads that by itself: "dray1 key=…", then the metadata, percent-encoded.

// described returns the pairs of a description; nil if it is none of Dray's.
func described(text string) map[string]string {
	words := strings.Split(text, " ")
	if words[0] != "dray1" {
		return nil
	}
	pairs := map[string]string{}
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		plain, err := url.PathUnescape(value)
		if err != nil {
			return nil
		}
		pairs[name] = plain
	}
	return pairs
}

// vaultObjects returns the archives of a vault as objects, by where they begin.
func vaultObjects(v *transporttest.Vault) ([]object, error) {
	var list []object
	for _, a := range v.Archives() {
		pairs := described(a.Description)
		o := object{key: pairs["key"], file: a.File}
		var err error
		if o.start, err = strconv.ParseInt(pairs["dray-start"], 10, 64); err != nil {
			return nil, fmt.Errorf("archive %s: description %q", a.ID, a.Description)
		}
		o.end = o.start + a.Size
		if err := o.read(pairs); err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	slices.SortStableFunc(list, func(a, b object) int { return int(a.start - b.start) })
	return list, nil
}

// judgeVault checks, by what the vault took, that uploads go on and do not begin
// again; a second create is right only if the reply to the first was not seen.
func (r *rig) judgeVault(out *report, archived int64) {
	var made, again, parts, repeated int
	for description, t := range r.vault.Tallies() {
		made += t.Created
		if t.Created > 1 {
			again++
		}
		if len(t.Parts) > 1 {
			out.violation("%s: %d uploads were given parts; one that has begun must go on", described(description)["key"], len(t.Parts))
		}
		for _, n := range t.Parts {
			parts += n
		}
		repeated += t.Repeated
	}
	out.figure("uploads", "%d made, %d archives with a second create after a lost reply", made, again)
	out.figure("parts", "%d, of which %d were taken again", parts, repeated)
	if sent := r.proxy.bytes(); archived > 0 {
		out.figure("bytes sent", "%d, %.3f for each byte archived", sent, float64(sent)/float64(archived))
	}
	doubt, all := 0, 0
	err := engine.ReadReceipts(r.stateDir(), func(receipt engine.Receipt) error {
		all++
		if receipt.InDoubt != "" {
			doubt++
		}
		return nil
	})
	if err != nil {
		out.violation("receipts: %v", err)
	}
	out.figure("receipts", "%d, of which %d are in doubt", all, doubt)
}

// archivedInVault returns what the vault holds of this run, and unfinished uploads.
func (w *crashWorld) archivedInVault(out *report) (objects []crashed, left []string, err error) {
	device := filepath.Base(w.dir)
	for _, a := range w.lab.vault.Archives() {
		pairs := described(a.Description)
		if pairs["dray-device"] != device {
			continue
		}
		data, err := os.ReadFile(a.File)
		if err != nil {
			return nil, nil, err
		}
		objects = append(objects, newCrashed(out, pairs["key"], data, pairs))
	}
	for _, description := range w.lab.vault.Uploads() {
		if pairs := described(description); pairs["dray-device"] == device {
			left = append(left, pairs["key"])
		}
	}
	return objects, left, nil
}
