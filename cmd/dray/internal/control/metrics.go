package control

import (
	"bufio"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/seed-7270d448/dray/engine"
)

// A family is one metric: its name and meaning, and its samples for a status.
type family struct {
	name, kind, help string
	samples          func(s engine.Status, add func(value float64, labels ...string))
}

const (
	counter = "counter"
	gauge   = "gauge"
)

// links are the states of a link, each a sample of dray_destination_link.
var links = []string{"idle", "up", "poor", "down", "denied", "throttled", "closed", "over budget"}

var families = []family{
	{"dray_info", gauge, "Always 1; the labels say what runs.",
		func(s engine.Status, add func(float64, ...string)) { add(1, "version", s.Version, "device", s.Device) }},
	one("dray_start_time_seconds", gauge, "When the daemon started, Unix time.", func(s engine.Status) float64 { return unix(s.Started) }),
	one("dray_notes", gauge, "Things found at start-up that an operator should know.", func(s engine.Status) float64 { return float64(len(s.Notes)) }),

	one("dray_clock_known", gauge, "1 while the time is known, if only by a clock that nobody vouches for.", func(s engine.Status) float64 { return truth(s.Clock.Trust != "unknown") }),
	one("dray_clock_ahead_seconds", gauge, "How far the wall clock is ahead of the time that keys go by.", func(s engine.Status) float64 { return s.Clock.Ahead }),
	one("dray_clock_estimated_objects", gauge, "Objects not yet archived whose time of capture is an estimate.", func(s engine.Status) float64 { return float64(s.Clock.Estimated) }),

	one("dray_spool_max_bytes", gauge, "What the spool may hold.", func(s engine.Status) float64 { return float64(s.Spool.MaxBytes) }),
	one("dray_spool_used_bytes", gauge, "Slots that hold bytes still needed.", func(s engine.Status) float64 { return float64(s.Spool.UsedBytes) }),
	one("dray_spool_made_bytes", gauge, "Slots on flash, used or waiting for reuse.", func(s engine.Status) float64 { return float64(s.Spool.MadeBytes) }),
	one("dray_spool_full", gauge, "1 while the spool is full.", func(s engine.Status) float64 { return truth(s.Spool.Full) }),
	one("dray_spool_written_bytes_total", counter, "Written to slots, journal and receipts since start-up.", func(s engine.Status) float64 { return float64(s.Spool.WrittenBytes) }),
	one("dray_spool_syncs_total", counter, "Syncs of slots, journal and receipts since start-up.", func(s engine.Status) float64 { return float64(s.Spool.Syncs) }),

	one("dray_flash_written_bytes_total", counter, "Written to flash in the life of the state folder.", func(s engine.Status) float64 { return float64(s.Flash.WrittenBytes) }),
	one("dray_flash_syncs_total", counter, "Syncs in the life of the state folder.", func(s engine.Status) float64 { return float64(s.Flash.Syncs) }),
	one("dray_flash_written_bytes_per_day", gauge, "Written to flash in a day, in the mean of all runs.", func(s engine.Status) float64 { return float64(s.Flash.PerDay) }),
	one("dray_flash_life_years", gauge, "How long spool.endurance lasts at that rate; 0 for not known.", func(s engine.Status) float64 { return s.Flash.LifeYears }),

	stream("dray_stream_appended_bytes_total", counter, "Stream offset read from the peripheral.", func(s engine.StreamStatus) float64 { return float64(s.Appended) }),
	stream("dray_stream_kept_bytes_total", counter, "Stream offset that survives a power cut.", func(s engine.StreamStatus) float64 { return float64(s.Kept) }),
	stream("dray_stream_archived_bytes_total", counter, "Stream offset with a durable receipt.", func(s engine.StreamStatus) float64 { return float64(s.Archived) }),
	stream("dray_stream_gaps_total", counter, "Losses counted.", func(s engine.StreamStatus) float64 { return float64(s.Gaps) }),
	stream("dray_stream_gap_bytes_total", counter, "Bytes known lost.", func(s engine.StreamStatus) float64 { return float64(s.GapBytes) }),
	stream("dray_stream_malformed_bytes_total", counter, "Bytes that the framing could not make a record of.", func(s engine.StreamStatus) float64 { return float64(s.Malformed) }),
	stream("dray_stream_plain_bytes_total", counter, "Bytes compressed since start-up.", func(s engine.StreamStatus) float64 { return float64(s.Plain) }),
	stream("dray_stream_packed_bytes_total", counter, "What those became.", func(s engine.StreamStatus) float64 { return float64(s.Packed) }),
	stream("dray_stream_pending_objects", gauge, "Objects sealed and not yet archived.", func(s engine.StreamStatus) float64 { return float64(s.Pending) }),
	stream("dray_stream_reading", gauge, "1 while the source is being read.", func(s engine.StreamStatus) float64 { return truth(s.SourceState == "reading") }),
	stream("dray_stream_last_read_timestamp_seconds", gauge, "When bytes last came, Unix time; 0 for never.", func(s engine.StreamStatus) float64 { return unix(s.LastRead) }),

	{"dray_destination_link", gauge, "1 for the state that the link is in, 0 for the others.",
		func(s engine.Status, add func(float64, ...string)) {
			for _, d := range s.Destinations {
				for _, state := range links {
					add(truth(d.Link == state), "destination", d.Name, "state", state)
				}
			}
		}},
	destination("dray_destination_pending_bytes", gauge, "Bytes waiting to be archived.", func(d engine.DestinationStatus) float64 { return float64(d.PendingBytes) }),
	destination("dray_destination_pending_objects", gauge, "Objects waiting to be archived.", func(d engine.DestinationStatus) float64 { return float64(d.PendingObjects) }),
	destination("dray_destination_in_flight", gauge, "Requests under way.", func(d engine.DestinationStatus) float64 { return float64(d.InFlight) }),
	destination("dray_destination_failing", gauge, "1 if the last try failed.", func(d engine.DestinationStatus) float64 { return truth(d.LastError != "") }),
	destination("dray_destination_next_try_timestamp_seconds", gauge, "When the next try is due, Unix time; 0 for at once.", func(d engine.DestinationStatus) float64 { return unix(d.NextTry) }),
	destination("dray_destination_last_success_timestamp_seconds", gauge, "When a request last succeeded, Unix time; 0 for never.", func(d engine.DestinationStatus) float64 { return unix(d.LastSuccess) }),
	destination("dray_destination_sent_bytes_total", counter, "Bodies of parts and objects sent since start-up.", func(d engine.DestinationStatus) float64 { return float64(d.SentBytes) }),
	destination("dray_destination_archived_bytes_total", counter, "Bytes in objects finished since start-up.", func(d engine.DestinationStatus) float64 { return float64(d.ArchivedBytes) }),
	destination("dray_destination_wire_sent_bytes_total", counter, "Bytes that left over the link since start-up.", func(d engine.DestinationStatus) float64 { return float64(d.Wire.BytesSent) }),
	destination("dray_destination_wire_received_bytes_total", counter, "Bytes that came over the link since start-up.", func(d engine.DestinationStatus) float64 { return float64(d.Wire.BytesReceived) }),
	destination("dray_destination_requests_total", counter, "Requests made since start-up.", func(d engine.DestinationStatus) float64 { return float64(d.Wire.Requests) }),
	destination("dray_destination_connections_total", counter, "Connections opened since start-up.", func(d engine.DestinationStatus) float64 { return float64(d.Wire.Connections) }),
	destination("dray_destination_handshakes_total", counter, "TLS handshakes since start-up.", func(d engine.DestinationStatus) float64 { return float64(d.Wire.Handshakes) }),
	destination("dray_destination_resumed_total", counter, "TLS handshakes that went on with an earlier session.", func(d engine.DestinationStatus) float64 { return float64(d.Wire.Resumed) }),
	destination("dray_destination_changes_total", counter, "Connections ended because the network changed.", func(d engine.DestinationStatus) float64 { return float64(d.Wire.Changes) }),
	destination("dray_destination_cost_bytes_total", counter, "What closed connections cost, with headers and retransmissions.", func(d engine.DestinationStatus) float64 { return float64(d.Wire.CostBytes) }),
	budget("dray_budget_used_bytes", gauge, "Used of a budget in this day or month.", func(s *engine.Spent) int64 { return s.Bytes }),
	budget("dray_budget_limit_bytes", gauge, "What a budget allows in a day or month.", func(s *engine.Spent) int64 { return s.Limit }),
	destination("dray_destination_stalls_total", counter, "Connections given up because nothing moved.", func(d engine.DestinationStatus) float64 { return float64(d.Wire.Stalls) }),
	destination("dray_destination_broken_connections_total", counter, "Connections that failed while a request used them.", func(d engine.DestinationStatus) float64 { return float64(d.Wire.Broken) }),
}

// budget makes a sample for each limit that each budget has.
func budget(name, kind, help string, value func(*engine.Spent) int64) family {
	return family{name, kind, help, func(s engine.Status, add func(float64, ...string)) {
		for _, b := range s.Budgets {
			if b.Day != nil {
				add(float64(value(b.Day)), "interface", b.Interface, "period", "day")
			}
			if b.Month != nil {
				add(float64(value(b.Month)), "interface", b.Interface, "period", "month")
			}
		}
	}}
}

func one(name, kind, help string, value func(engine.Status) float64) family {
	return family{name, kind, help, func(s engine.Status, add func(float64, ...string)) { add(value(s)) }}
}

func stream(name, kind, help string, value func(engine.StreamStatus) float64) family {
	return family{name, kind, help, func(s engine.Status, add func(float64, ...string)) {
		for _, st := range s.Streams {
			add(value(st), "stream", st.Name)
		}
	}}
}

func destination(name, kind, help string, value func(engine.DestinationStatus) float64) family {
	return family{name, kind, help, func(s engine.Status, add func(float64, ...string)) {
		for _, d := range s.Destinations {
			add(value(d), "destination", d.Name)
		}
	}}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// WriteMetrics writes s in Prometheus' text format, version 0.0.4.
func WriteMetrics(w io.Writer, s engine.Status) error {
	b := bufio.NewWriter(w) // keeps the first error for Flush
	for _, f := range families {
		b.WriteString("# HELP " + f.name + " " + f.help + "\n# TYPE " + f.name + " " + f.kind + "\n")
		f.samples(s, func(value float64, labels ...string) {
			b.WriteString(f.name)
			open := "{"
			for i := 0; i+1 < len(labels); i += 2 {
				b.WriteString(open + labels[i] + `="` + escape.Replace(labels[i+1]) + `"`)
				open = ","
			}
			if len(labels) > 0 {
				b.WriteByte('}')
			}
			b.WriteString(" " + number(value) + "\n")
		})
	}
	return b.Flush()
}

// escape quotes the value of a label.
var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return strconv.FormatInt(int64(v), 10)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}
