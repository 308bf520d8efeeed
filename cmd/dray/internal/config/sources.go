package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/hal"
	"github.com/seed-7270d448/dray/hal/file"
	"github.com/seed-7270d448/dray/hal/serial"
)

// sources is the table of peripherals: how each type reads its keys. A new
// peripheral is one more line here and a folder under hal.
var sources = map[string]func(m *mapping) (hal.Source, error){
	"serial": serialSource,
	"stdin":  stdinSource,
	"file":   fileSource,
	"fifo":   fifoSource,
}

// sole refuses a second stream that reads what gives each byte only once: the
// two would tear its records apart between them. A file can be read by many.
func sole(m *mapping, s engine.Stream, readers map[string]string) {
	if s.Source == nil || m.mapping("source").text("type") == "file" {
		return
	}
	what := s.Source.Name()
	if first, taken := readers[what]; taken {
		m.problem("source", "give each stream a source of its own", "stream %q reads %s already", first, what)
		return
	}
	readers[what] = s.Name
}

// source reads the source of a stream; nil if it has a problem.
func source(stream *mapping) hal.Source {
	types := slices.Sorted(maps.Keys(sources))
	const key = "source"
	if stream.get(key) == nil {
		stream.problem(key, "say what to read, such as {type: serial, port: /dev/ttyUSB0, baud: 115200}", "is missing")
		return nil
	}
	m := stream.mapping(key)
	if len(m.keys) == 0 {
		if !stream.r.bad[m.path] {
			stream.problem(key, "give it a type: "+strings.Join(types, ", "), "is empty")
		}
		return nil
	}
	m.need("type", "choose one of "+strings.Join(types, ", "))
	open, ok := sources[m.word("type", types...)]
	if !ok {
		return nil
	}
	before := len(m.r.problems)
	s, err := open(m)
	m.done()
	if len(m.r.problems) > before {
		return nil
	}
	if err != nil {
		stream.problem(key, "", "%v", err)
		return nil
	}
	return s
}

func serialSource(m *mapping) (hal.Source, error) {
	c := serial.Config{
		Port:     m.need("port", "name the device, best by /dev/serial/by-id/..., which stays the same when plugged elsewhere"),
		DataBits: m.integer("data_bits"),
		Parity:   m.word("parity", "none", "odd", "even", "mark", "space"),
		StopBits: m.word("stop_bits", "1", "1.5", "2"),
		Flow:     m.word("flow", "none", "rtscts", "xonxoff"),
	}
	m.need("baud", "say how fast the device sends, such as 115200")
	c.Baud = m.integer("baud")
	if c.Port == "" || c.Baud == 0 {
		return nil, nil
	}
	return serial.New(c)
}

func stdinSource(*mapping) (hal.Source, error) {
	return file.New(file.Config{Type: "stdin"})
}

func fileSource(m *mapping) (hal.Source, error) {
	c := file.Config{Type: "file", Path: m.need("path", "name the file to read"), Follow: m.yes("follow")}
	if c.Path == "" {
		return nil, nil
	}
	return file.New(c)
}

func fifoSource(m *mapping) (hal.Source, error) {
	c := file.Config{Type: "fifo", Path: m.need("path", "name the FIFO; make it with mkfifo")}
	if c.Path == "" {
		return nil, nil
	}
	return file.New(c)
}
