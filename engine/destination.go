package engine

import (
	"math/rand/v2"
	"sync"

	"github.com/seed-7270d448/dray/transport"
)

// destination is one configured destination and the gate before it.
type destination struct {
	cfg    Destination
	to     transport.Destination
	limits transport.Limits

	mu       sync.Mutex // guards pace and the figures; the dispatcher alone writes them
	pace     *pace
	sent     int64 // bytes of bodies sent, since start-up
	archived int64 // bytes of finished objects, since start-up
	lastErr  string
}

func newDestination(c Destination) *destination {
	return &destination{cfg: c, to: c.To, limits: c.To.Limits(), pace: newPace(newRand())}
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) }
