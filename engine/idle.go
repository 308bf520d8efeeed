package engine

import (
	"fmt"
	"time"

	"github.com/seed-7270d448/dray/transport"
)

// idleNotes says of each stream whose parts may come too far apart: its
// destination lets go of an upload that idles, which then begins again from bytes
// that are kept. Nothing is lost, but on such a link nothing is ever finished.
func (e *Engine) idleNotes() (notes []string) {
	for _, st := range e.streams {
		d := e.dests[st.cfg.Destination]
		if most := d.limits.MaxIdle; most > 0 {
			if why := tooSlow(d.fitting().rate, st.cfg.Object, d.limits); why != "" {
				notes = append(notes, fmt.Sprintf("stream %s: %s, and destination %s lets go of an upload without a part for %v: it begins again",
					st.cfg.Name, why, d.cfg.Name, most))
			}
		}
	}
	return notes
}

// tooSlow says why a part may not come within the time that an upload lasts;
// empty if there is no reason to think so. rate is in bytes a second, 0 if it is
// not known.
func tooSlow(rate int64, o Object, l transport.Limits) string {
	part := min(l.MinPart, o.MaxBytes)
	switch {
	case rate > 0 && time.Duration(part/rate)*time.Second > l.MaxIdle:
		return fmt.Sprintf("its link carries %s a second, a part of %s takes longer than %v", sizeText(rate), sizeText(part), l.MaxIdle)
	case o.MaxAge > l.MaxIdle:
		return fmt.Sprintf("object.max_age is %v, and %s may take longer than %v to come in", o.MaxAge, sizeText(o.PartSize), l.MaxIdle)
	}
	return ""
}
