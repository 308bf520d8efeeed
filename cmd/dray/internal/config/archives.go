package config

import (
	"os"
	"path/filepath"

	"github.com/seed-7270d448/dray/engine"
)

// Archives is the part of a config that says where objects go.
type Archives struct {
	Device       string // this device's name; the host name if the file has none
	Destinations []engine.Destination
}

// LoadArchives reads which destinations the file at path describes, and
// nothing else: a file with nothing but destinations is enough to look at an
// archive from anywhere. What is wrong with that part comes back as *Error.
func LoadArchives(path string) (*Archives, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	r := newReader()
	r.dir = filepath.Dir(path)
	m := r.root(data)
	if m == nil {
		return nil, r.err(path)
	}
	a := &Archives{Device: m.text("device")}
	named := map[string]bool{}
	for _, d := range m.list("destinations", "name at least one destination, such as {name: archive, type: local, path: /mnt/usb}") {
		to := destination(d, os.Getenv)
		if named[to.Name] && to.Name != "" {
			d.problem("name", "give each its own name", "%q is taken", clip(to.Name))
		}
		named[to.Name] = true
		a.Destinations = append(a.Destinations, to)
	}
	if a.Device == "" {
		a.Device, _ = os.Hostname() // it stands in the key of a trial only
	}
	return a, r.err(path)
}
