package engine

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/seed-7270d448/dray/wal"
)

// orphans are objects that wait, of a stream or for a destination that is not
// configured any more.
type orphans struct {
	stream, destination string
	gone                string // which of the two: its field in a config
	objects             int
	bytes               int64
}

// CheckPending says what waits in the state folder of cfg and is left behind by
// cfg, which has no such stream or destination any more: nil, or the errors.Join
// of one *ConfigError for each. It only reads, also while an Engine runs on the
// folder; without a folder nothing waits.
//
// New does not refuse such a config, since then what is read from now on would be
// lost: it keeps what waits, and Status says what this says.
func CheckPending(cfg Config) error {
	cfg = cfg.withDefaults()
	var list []orphans
	err := again(func() error { // an engine at work may begin a new journal meanwhile
		s, err := wal.Read(cfg.StateDir)
		if err != nil {
			return err
		}
		defer s.Close()
		if err := settleReceipts(s, cfg.StateDir); err != nil { // as a start-up would, but here only in memory
			return err
		}
		list = orphansOf(s, cfg)
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return &ConfigError{Field: "state_dir", Problem: fmt.Sprintf("what waits there cannot be told: %v", err), Hint: "dray inspect may say more"}
	}
	var problems []error
	for _, o := range list {
		problems = append(problems, o.problem(cfg.StateDir))
	}
	return errors.Join(problems...)
}

// orphansOf gathers what cfg leaves behind, by stream and destination. What cannot go out
// for want of both counts for its destination.
func orphansOf(s *wal.Store, cfg Config) (list []orphans) {
	streams := map[string]bool{}
	for _, st := range cfg.Streams {
		streams[st.Name] = true
	}
	at := map[orphans]int{}
	open := map[objectID]orphans{}
	add := func(which orphans, size int64) {
		n, known := at[which]
		if !known {
			n = len(list)
			at[which] = n
			list = append(list, which)
		}
		list[n].objects++
		list[n].bytes += size
	}
	s.View(func(state *wal.State) {
		for _, st := range state.Streams {
			for i := range st.Objects {
				o := &st.Objects[i]
				which := orphans{stream: st.Name, destination: state.Layout(o).Destination}
				switch {
				case cfg.destination(which.destination) == nil:
					which.gone = "destinations"
				case !streams[st.Name]:
					which.gone = "streams"
				}
				switch {
				case which.gone == "" || o.Dropped:
				case o.Sealed():
					add(which, o.Size())
				default:
					open[objectID{st.ID, o.Start}] = which
				}
			}
		}
	})
	for id, which := range open { // only now: a stream's lock comes before that of the state
		if kept := s.Kept(id.stream); kept > id.start {
			add(which, kept-id.start)
		}
	}
	return list
}

func (o orphans) problem(stateDir string) *ConfigError {
	e := &ConfigError{Field: o.gone, Hint: "configure it again until they are archived, as dray run --drain does, or take them out with dray export; until then they are kept"}
	many := "1 object"
	if o.objects != 1 {
		many = fmt.Sprintf("%d objects", o.objects)
	}
	if e.Problem = fmt.Sprintf("there is no destination %q any more, for which %s of stream %q with %s wait in %s", o.destination, many, o.stream, sizeText(o.bytes), stateDir); o.gone == "streams" {
		e.Problem = fmt.Sprintf("there is no stream %q any more, of which %s with %s wait for destination %q in %s", o.stream, many, sizeText(o.bytes), o.destination, stateDir)
	}
	return e
}

// orphanNotes says in sentences what the config leaves behind.
func (e *Engine) orphanNotes() (notes []string) {
	for _, o := range orphansOf(e.store, e.cfg) {
		p := o.problem(e.cfg.StateDir)
		notes = append(notes, p.Problem+"; "+p.Hint)
	}
	return notes
}
