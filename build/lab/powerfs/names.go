package powerfs

import (
	"math/rand/v2"
	"slices"
)

// A binding says which node a name in a folder stands for; nil: none.
type binding struct {
	dir  *node
	name string
	node *node
}

// A rename is bindings that change together: one for a name that is made or
// removed, two for one that moves.
type rename []binding

// key is what a binding changes.
type key struct {
	dir  *node
	name string
}

// bind changes names in the volatile view, all at once.
func (d *Disk) bind(list ...binding) {
	for _, b := range list {
		set(b.dir.entries, b)
	}
	d.names = append(d.names, list)
}

func set(e entries, b binding) {
	if b.node == nil {
		delete(e, b.name)
	} else {
		e[b.name] = b.node
	}
}

// settle makes name changes durable: those of which a binding is wanted, and
// the earlier ones of every name that these change.
func (d *Disk) settle(wanted func(binding) bool) {
	need := map[key]bool{}
	take := make([]bool, len(d.names))
	for i, r := range slices.Backward(d.names) {
		if slices.ContainsFunc(r, func(b binding) bool { return wanted(b) || need[key{b.dir, b.name}] }) {
			take[i] = true
			for _, b := range r {
				need[key{b.dir, b.name}] = true
			}
		}
	}
	d.keep(take)
}

// keep makes the name changes durable that take says, and goes on with the rest.
func (d *Disk) keep(take []bool) {
	var rest []rename
	for i, r := range d.names {
		if !take[i] {
			rest = append(rest, r)
			continue
		}
		for _, b := range r {
			set(b.dir.kept, b)
		}
	}
	d.names = rest
}

// survive decides which name changes a cut leaves, and drops the others.
func (d *Disk) survive(much share, r *rand.Rand) {
	take := make([]bool, len(d.names))
	if d.options.Ordered {
		for i := range much.of(r, len(take)) {
			take[i] = true
		}
	} else {
		lost := map[key]bool{}
		for i, change := range d.names {
			behind := slices.ContainsFunc(change, func(b binding) bool { return lost[key{b.dir, b.name}] })
			if take[i] = !behind && much.of(r, 1) == 1; !take[i] {
				for _, b := range change {
					lost[key{b.dir, b.name}] = true
				}
			}
		}
	}
	d.keep(take)
	d.names = nil
}
