package local

import "sync"

// A gate keeps calls apart that touch the same upload: parts of one upload may
// be written at the same time, each by one call; ending the upload waits for
// them, so that nothing writes into a file that has become an object.
type gate struct {
	mu   sync.Mutex
	held map[string]*entry
}

type entry struct {
	sync.RWMutex
	users int // holders and waiters; the entry goes with the last
}

// part waits for its turn to write one part of an upload.
func (g *gate) part(id string, record string) (release func()) {
	whole, one := g.enter(id), g.enter(record)
	whole.RLock()
	one.Lock()
	return func() {
		one.Unlock()
		whole.RUnlock()
		g.leave(record, one)
		g.leave(id, whole)
	}
}

// whole waits until nobody else touches the upload.
func (g *gate) whole(id string) (release func()) {
	e := g.enter(id)
	e.Lock()
	return func() {
		e.Unlock()
		g.leave(id, e)
	}
}

func (g *gate) enter(name string) *entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held == nil {
		g.held = make(map[string]*entry)
	}
	e := g.held[name]
	if e == nil {
		e = new(entry)
		g.held[name] = e
	}
	e.users++
	return e
}

func (g *gate) leave(name string, e *entry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e.users--; e.users == 0 {
		delete(g.held, name)
	}
}
