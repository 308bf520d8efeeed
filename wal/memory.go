package wal

import "sync"

// memory bounds the bytes that wait for their sync, over all streams, and
// hands frame buffers round so that a busy stream makes no garbage.
type memory struct {
	mu    sync.Mutex
	limit int64
	used  int64
	spare [][]byte
	room  chan struct{} // closed when memory is given back, then made anew
}

// floor is what a stream may always hold, however much the others do.
const floor = 64 << 10

func newMemory(limit int64) *memory { return &memory{limit: limit, room: make(chan struct{})} }

// take says whether n more bytes fit for a stream that holds held.
func (m *memory) take(n, held int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used+n > m.limit && held+n > floor && held > 0 {
		return false
	}
	m.used += n
	return true
}

// buffer returns an empty frame buffer with room for the header in front.
func (m *memory) buffer() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.spare); n > 0 {
		b := m.spare[n-1]
		m.spare = m.spare[:n-1]
		return b
	}
	return make([]byte, frameHeader, 4<<10)
}

// give takes n bytes and their buffer back.
func (m *memory) give(n int64, b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used -= n
	if cap(b) >= maxFrame && m.used+int64(len(m.spare)+1)*maxFrame <= m.limit {
		m.spare = append(m.spare, b[:frameHeader])
	}
	close(m.room)
	m.room = make(chan struct{})
}

func (m *memory) wait() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.room
}
