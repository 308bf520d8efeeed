package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Options say where a Store is and how much it may hold. Sizes are bytes.
type Options struct {
	Dir         string
	MaxBytes    int64             // of slots; default 2 GiB
	MinFree     int64             // left to others on the file system; 0: none
	SlotBytes   int64             // default DefaultSlotBytes; fixed for a state folder
	MemoryBytes int64             // for bytes that wait for their sync, all streams together; default 2 MiB
	Machine     string            // identifies the hardware; a change makes a new epoch; may be empty
	Boot        string            // identifies the boot
	Receipts    int64             // bytes of receipts beyond which the oldest are removed; 0: never
	Precious    func([]byte) bool // says of a receipt that it stays until it is exported; may be nil
	Hashes      Hashes            // finds digests that destinations need; may be nil
	SaneAfter   time.Time         // a wall clock before this is not believed
	Now         func() Moment     // what the clocks say; default Now
	Wake        func()            // called when facts about objects were noted; must not block
}

// sizes are those of what is not payload; zero values mean the defaults.
type sizes struct {
	journal journalOptions
	ledger  int64 // of a file of receipts
}

// Store is everything durable of a device: the spool, the journal and the
// receipts, in one folder, held by one process. It is safe for concurrent use.
type Store struct {
	dir       string
	lock      *os.File
	slots     *slots
	memory    *memory
	hashes    Hashes
	wake      func()
	run       uint32
	stopped   bool
	saneAfter int64
	now       func() Moment
	stall     func() // for experiments with slow flash
	wear      *wear

	writing sync.Mutex // held while the journal is written; before mu
	journal *journal
	pending [][]byte // facts noted, applied, not yet written
	size    int      // bytes of pending
	owes    bool     // a Completed was noted, and is not written yet

	receipts sync.Mutex
	ledger   *ledger

	rekeying sync.Mutex // held by Rekey; before writing

	mu      sync.RWMutex // guards state; never held over I/O
	state   State
	streams map[uint32]*Stream
	notes   []string
	adopted []Fact // by start-up, to be noted behind what the slots tell
}

// Open makes or opens the state folder and recovers what it holds; there is no
// other recovery. *InUseError if another process holds it. Damage is not an
// error: Notes says what was found and where the damaged files are.
func Open(o Options) (*Store, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = 2 << 30
	}
	if o.SlotBytes == 0 {
		o.SlotBytes = DefaultSlotBytes
	}
	if o.MemoryBytes == 0 {
		o.MemoryBytes = 2 << 20
	}
	if o.Wake == nil {
		o.Wake = func() {}
	}
	if o.Now == nil {
		o.Now = Now
	}
	s := &Store{dir: o.Dir, stall: syncStall(), memory: newMemory(o.MemoryBytes), hashes: o.Hashes, wake: o.Wake, streams: map[uint32]*Stream{}}
	if !o.SaneAfter.IsZero() {
		s.saneAfter = o.SaneAfter.UnixNano()
	}
	if err := s.open(o); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) open(o Options) (err error) {
	if err := makeDir(o.Dir); err != nil {
		return fmt.Errorf("state folder: %w%s", err, journalHint(err))
	}
	if s.lock, err = lockDir(o.Dir); err != nil {
		return err
	}
	sizes := shrink(&o)
	s.wear = &wear{began: time.Now()}
	sizes.journal.wear = s.wear
	fakeClock(&o)
	s.now = o.Now
	var report journalReport
	s.journal, report, err = openJournal(filepath.Join(o.Dir, "journal"), sizes.journal, s.replay, s.snapshot)
	if err != nil {
		return err
	}
	s.wear.load(s.state.Figure(wearFigure))
	s.notes = append(s.notes, report.Notes...)
	for _, kept := range report.Kept {
		s.note("journal: a damaged or newer generation is kept in %s", kept)
	}
	spool := filepath.Join(o.Dir, "spool")
	if err := s.adopt(spool); err != nil {
		return err
	}
	s.nameLost()
	if err := s.identify(o.Machine, o.Boot); err != nil {
		return fmt.Errorf("state folder %s: a start-up has to be written down first: %w%s", o.Dir, err, journalHint(err))
	}
	if err := s.setAside(spool); err != nil {
		return err
	}
	s.state.idle = nil
	if s.slots, err = openSlots(spool, o.SlotBytes, o.MaxBytes, o.MinFree, s.usedSlots()); err != nil {
		return err
	}
	s.slots.wear = s.wear
	for _, st := range s.state.Streams {
		stream, err := s.recover(st)
		if err != nil {
			return err
		}
		s.streams[st.ID] = stream
	}
	s.complete()
	// Last: it syncs the folder, with the names of journal and spool in it.
	var notes []string
	s.ledger, notes, err = openLedger(o.Dir, sizes.ledger)
	s.notes = append(s.notes, notes...)
	if err != nil {
		return err
	}
	s.ledger.wear = s.wear
	return nil
}

// Read opens a state folder only to look at it: it takes no lock, writes
// nothing, and works on a read-only medium, on damage, and beside a running
// process (whose newest bytes it may miss). Only View, Section, Kept, Usage,
// Notes and Close may be used.
func Read(dir string) (*Store, error) {
	s := &Store{dir: dir, memory: newMemory(0), wake: func() {}, now: Now, streams: map[uint32]*Stream{}}
	report, err := readJournal(filepath.Join(dir, "journal"), s.replay)
	if err != nil {
		return nil, err
	}
	s.notes = append(s.notes, report.Notes...)
	s.wear = &wear{began: time.Now()}
	s.wear.load(s.state.Figure(wearFigure))
	s.slots = &slots{dir: filepath.Join(dir, "spool"), made: map[uint32]bool{}, bad: map[uint32]bool{}}
	if abandoned, err := s.abandoned(s.slots.dir); err != nil {
		return nil, err
	} else if abandoned {
		s.note("spool: its journal is gone, so nobody can say what the slots in %s hold; copy them before dray runs again, which puts them aside", s.slots.dir)
	}
	if err := s.adopt(s.slots.dir); err != nil {
		return nil, err
	}
	for _, st := range s.state.Streams {
		if s.streams[st.ID], err = s.recover(st); err != nil {
			return nil, err
		}
	}
	s.complete()
	return s, nil
}

// Kept returns the offset below which everything of a stream survives a power cut.
func (s *Store) Kept(stream uint32) int64 {
	if st := s.streams[stream]; st != nil {
		return st.Progress().Kept
	}
	return 0
}

func (s *Store) replay(rec []byte) error {
	f, err := decodeFact(rec)
	if err != nil {
		s.note("journal: %v; it is passed over", err) // never a reason not to start
		return nil
	}
	s.state.apply(f)
	return nil
}

// snapshot yields the whole state as records. The journal calls it while
// writing is held, so no fact changes meanwhile.
func (s *Store) snapshot(yield func([]byte) bool) {
	for f := range s.state.Facts() {
		if !yield(f.AppendTo(nil)) {
			return
		}
	}
}

// Stopped says whether the run before this one ended in order.
func (s *Store) Stopped() bool { return s.stopped }

// Stop notes that this run ends in order, with all that was read kept. Nothing
// may be appended afterwards.
func (s *Store) Stop() error { return s.Commit(Fact{Kind: Stopped, Run: s.run}) }

// Stream returns the stream of that name in the current epoch, made if there is none.
func (s *Store) Stream(name string) (*Stream, error) {
	s.mu.RLock()
	st := s.state.Current(name)
	f := Fact{Kind: Made, Stream: uint32(len(s.state.Streams) + 1), Name: name, Epoch: s.state.Epoch}
	s.mu.RUnlock()
	if st != nil && st.KeyEpoch() == f.Epoch {
		return s.streams[st.ID], nil
	}
	if err := s.Commit(f); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st = s.state.Stream(f.Stream)
	stream := &Stream{store: s, id: streamID{st.ID, st.Epoch}, name: name, layout: s.state.layouts[st.layout],
		object: -1, digest: digest{stream: st.ID, object: -1}}
	s.streams[st.ID] = stream
	return stream, nil
}

// Retire ends the open objects of all streams but those in use: nothing will be
// appended to the others any more.
func (s *Store) Retire(inUse map[uint32]bool) error {
	for id, st := range s.streams {
		if inUse[id] {
			continue
		}
		st.Seal()
		if err := st.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// Commit makes facts true: durable first, then folded into the state. All
// facts noted before go along. On error none of facts is true; ErrFact is theirs,
// any other the disk's.
//
// Commit point: the fsync of the journal.
func (s *Store) Commit(facts ...Fact) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	facts = s.wear.note(facts)
	recs := s.pending[:len(s.pending):len(s.pending)]
	for i := range facts {
		rec, err := facts[i].encode()
		if err != nil {
			return err
		}
		recs = append(recs, rec)
	}
	if len(recs) == 0 && s.journal.log != nil { // else a new generation has to hold what was noted
		return nil
	}
	if err := s.append(recs); err != nil {
		return err
	}
	s.apply(facts)
	s.written()
	return nil
}

// written notes that all facts so far are durable.
func (s *Store) written() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.state.Streams {
		st.written = st.sealed()
	}
}

// maxPending bounds the facts that wait for a journal which cannot take them, in bytes.
const maxPending = 256 << 10

// append writes records to the journal. A journal that fails begins a new
// generation with the next call, whose snapshot has all facts noted so far.
func (s *Store) append(recs [][]byte) error {
	err := s.journal.Append(recs...)
	if err != nil && s.size > maxPending { // a log too long to go on with, and no room for the next
		s.journal.giveUp()
	}
	if err == nil || s.journal.log == nil {
		s.pending, s.size = nil, 0
	}
	s.owes = s.owes && err != nil
	return err
}

// Settle makes durable a Completed that was noted since its Commit had failed: no
// receipt may be written before. Without one it costs nothing.
func (s *Store) Settle() error {
	s.writing.Lock()
	owes := s.owes
	s.writing.Unlock()
	if !owes {
		return nil
	}
	return s.Commit()
}

// Note folds in facts that need not be durable by themselves: start-up would
// find them again, or nothing depends on them until a later Commit, with which
// they become durable, in order. One that Commit would refuse with ErrFact is
// left out.
func (s *Store) Note(facts ...Fact) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.journal == nil { // only read
		s.apply(facts)
		return
	}
	noted := make([]Fact, 0, len(facts))
	for i := range facts {
		rec, err := facts[i].encode()
		if err != nil {
			continue
		}
		s.pending, noted = append(s.pending, rec), append(noted, facts[i])
		s.size += len(rec)
		s.owes = s.owes || facts[i].Kind == Completed
	}
	s.apply(noted)
	if s.size > 64<<10 && s.append(s.pending) == nil { // else they wait for the next Commit, which will say so
		s.written()
	}
}

// derive is Note during start-up.
func (s *Store) derive(f Fact) { s.Note(f) }

func (s *Store) apply(facts []Fact) {
	s.mu.Lock()
	for _, f := range facts {
		s.state.apply(f)
	}
	idle := s.state.idle
	s.state.idle = nil
	s.mu.Unlock()
	if s.slots != nil {
		s.slots.drop(idle...)
	}
}

// View calls fn with the state, which must not be changed or kept. It never
// waits for flash.
func (s *Store) View(fn func(*State)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	fn(&s.state)
}

// Receipt appends one line, a JSON object, to the receipts. Durable when it
// returns nil. On a full disk it goes on in the journal's reserve.
func (s *Store) Receipt(line []byte) error {
	s.receipts.Lock()
	defer s.receipts.Unlock()
	err := s.ledger.Append(line)
	if journalFull(err) && s.freeReserve() {
		err = s.ledger.Append(line)
	}
	return err
}

func (s *Store) freeReserve() bool {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.journal.freeReserve()
}

// Prepare makes a spare slot if there is none, so that the next roll need not.
func (s *Store) Prepare() error {
	if err := s.slots.prepare(); err != nil && !errors.Is(err, ErrFull) {
		return err
	}
	return nil
}

// HasSpare says whether a slot waits to be taken: a Sync that failed with ErrFull
// may succeed by now.
func (s *Store) HasSpare() bool { return s.slots.hasSpare() }

// Room is closed when memory for waiting bytes was given back since the call.
func (s *Store) Room() <-chan struct{} { return s.memory.wait() }

// Usage is what the spool takes on flash, in bytes.
type Usage struct {
	Max, Made, Used int64 // allowed; in slots on flash; in slots that are needed
}

// Usage returns what the spool takes on flash.
func (s *Store) Usage() Usage {
	u := s.slots.usage()
	return Usage{Max: u.max, Made: u.made, Used: u.used}
}

// Notes are sentences about what start-up found that an operator should know.
func (s *Store) Notes() []string { return s.notes }

func (s *Store) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// Close writes the facts that were only noted and lets go of the folder. It
// does not sync streams; what is appended or synced later fails with ErrClosed.
func (s *Store) Close() error {
	var errs []error
	for _, st := range s.streams {
		st.End()
		st.syncing.Lock()
		st.close()
		st.closed = true
		st.syncing.Unlock()
	}
	if s.journal != nil {
		errs = append(errs, s.Commit(), s.journal.Close())
	}
	if s.ledger != nil {
		errs = append(errs, s.ledger.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}
