package config

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/hal"
)

// DefaultStateDir is the state folder of a file that names none.
const DefaultStateDir = "/var/lib/dray"

// top reads the whole file.
func (r *reader) top(m *mapping, env func(string) string) *Config {
	c := &Config{}
	c.Engine.Device = m.text("device")
	c.Engine.StateDir = stateDir(m)
	c.Engine.Workers = m.integer("workers")
	c.Engine.Spool = spool(m.mapping("spool"))
	receipts := m.mapping("receipts")
	c.Engine.Receipts.MaxBytes = receipts.size("max_bytes")
	receipts.done()
	c.Engine.ClockWait = clock(m.mapping("clock"))
	r.wires.shared(m.mapping("link"))
	readers := map[string]string{} // of what can have one only
	for _, s := range m.list("streams", "name at least one stream: its source and its destination") {
		st := stream(s)
		sole(s, st, readers)
		c.Engine.Streams = append(c.Engine.Streams, st)
	}
	for _, d := range m.list("destinations", "name at least one destination, such as {name: archive, type: local, path: /mnt/usb}") {
		c.Engine.Destinations = append(c.Engine.Destinations, destination(d, env))
	}
	c.Engine.Meter, c.Engine.Network = r.wires.meter, r.wires.network
	c.MetricsListen = metrics(m.mapping("metrics"))
	m.done()
	return c
}

func stateDir(m *mapping) string {
	if s := m.beside("state_dir"); s != "" {
		return s
	}
	return DefaultStateDir
}

func spool(m *mapping) engine.Spool {
	s := engine.Spool{
		MaxBytes:  m.size("max_bytes"),
		Endurance: m.size("endurance"),
		WhenFull: engine.WhenFull(m.word("when_full",
			string(engine.Block), string(engine.DropOldest), string(engine.DropNewest))),
	}
	if free, ok := m.sizeOrZero("min_free"); ok {
		s.MinFree = free
		if free == 0 {
			s.MinFree = -1 // engine's word for none; its zero means the default
		}
	}
	m.done()
	return s
}

// clock reads how long objects wait for a clock that can be believed.
func clock(m *mapping) time.Duration {
	wait, ok := m.durationOrZero("wait")
	m.done()
	if ok && wait == 0 {
		return -1 // engine's word for not at all; its zero means the default
	}
	return wait
}

func stream(m *mapping) engine.Stream {
	s := engine.Stream{
		Name:        m.need("name", "name the stream, such as gps"),
		Source:      source(m),
		Framing:     framing(m),
		Compress:    engine.Compress(m.word("compress", string(engine.Plain), string(engine.Gzip), string(engine.Zstd))),
		Key:         m.text("key"),
		Destination: m.need("destination", "name one of the destinations below"),
		Order:       engine.Order(m.word("order", string(engine.Oldest), string(engine.Newest))),
		Priority:    engine.Priority(m.word("priority", string(engine.High), string(engine.Normal), string(engine.Low))),
	}
	sync := m.mapping("sync")
	s.Sync = engine.Sync{Interval: sync.duration("interval"), Bytes: sync.size("bytes")}
	sync.done()
	o := m.mapping("object")
	s.Object = engine.Object{MaxBytes: o.size("max_bytes"), MaxAge: o.duration("max_age"), PartSize: o.size("part_size")}
	s.Object.MaxIdle, _ = o.durationOrZero("max_idle")
	o.done()
	m.done()
	return s
}

// framing reads a word, as in "framing: lines", or a mapping with its type.
func framing(m *mapping) hal.Framing {
	const key = "framing"
	kinds := []string{"raw", "lines", "length", "fixed"}
	n := m.get(key)
	if n == nil {
		return hal.Framing{}
	}
	if len(n.Content) == 0 {
		kind := m.word(key, kinds...)
		if kind == "length" || kind == "fixed" {
			m.problem(key, fmt.Sprintf("write {type: %s, size: 2}", kind), "%q needs a size", kind)
		}
		return hal.Framing{Kind: kind}
	}
	f := m.mapping(key)
	f.need("type", "choose one of raw, lines, length, fixed")
	frame := hal.Framing{Kind: f.word("type", kinds...)}
	switch frame.Kind {
	case "length":
		frame.Size = f.integer("size")
		frame.LittleEndian = f.word("order", "big", "little") == "little"
		if frame.Size != 1 && frame.Size != 2 && frame.Size != 4 {
			f.problem("size", "the length prefix has 1, 2 or 4 bytes", "must be 1, 2 or 4")
		}
	case "fixed":
		frame.Size = f.integer("size")
		if frame.Size == 0 {
			f.problem("size", "say how many bytes a record has", "is missing")
		}
	}
	if most := f.size("max_record"); most > hal.MaxRecord {
		f.problem("max_record", "", "must be at most %d KiB", hal.MaxRecord>>10)
	} else {
		frame.Max = int(most)
	}
	if frame.Kind != "" {
		f.done()
	}
	return frame
}

// metrics reads where to serve metrics, "" for nowhere. Only loopback: they
// are served without a password.
func metrics(m *mapping) string {
	const key = "listen"
	listen := m.text(key)
	m.done()
	if listen == "" {
		return ""
	}
	addr, err := netip.ParseAddrPort(listen)
	switch {
	case err != nil:
		m.problem(key, "write an address and a port, such as 127.0.0.1:9464", "%q is not an address and a port", clip(listen))
	case !addr.Addr().IsLoopback():
		m.problem(key, "listen on 127.0.0.1 or [::1] and let a proxy or an agent on this machine carry them on",
			"%q is not a loopback address", clip(listen))
	default:
		return listen
	}
	return ""
}
