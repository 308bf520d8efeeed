package wal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// InUseError says that another process holds the state folder.
type InUseError struct {
	Dir string
	PID int // 0 if it did not say
}

// Error names the folder and its holder.
func (e *InUseError) Error() string {
	return fmt.Sprintf("state folder %s is in use by process %d; stop it first, or use another state_dir", e.Dir, e.PID)
}

// makeDir makes dir, and the folders above it, and makes their names durable. So
// it does for one that is there: a run that was killed may have made it.
func makeDir(dir string) error {
	parent := filepath.Dir(dir)
	switch _, err := os.Stat(dir); {
	case err == nil:
		if err := syncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EROFS) {
			return err
		}
		return nil // whoever may not look into parent has not made dir
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state folder: %w%s", err, journalHint(err))
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if err != unix.EWOULDBLOCK {
			return nil, fmt.Errorf("state folder: lock %s: %w", f.Name(), err)
		}
		b := make([]byte, 32)
		n, _ := f.ReadAt(b, 0)
		pid, _ := strconv.Atoi(strings.TrimSpace(string(b[:n])))
		return nil, &InUseError{Dir: dir, PID: pid}
	}
	// The number is for messages alone: on a full disk start-up goes on without it.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	return f, nil
}

// identify raises the run and, on new or changed hardware, makes a new epoch.
func (s *Store) identify(machine, boot string) error {
	id := Fact{Kind: Identity, Epoch: s.state.Epoch, Name: machine}
	switch {
	case s.state.Epoch == 0:
		id.Epoch = newEpoch()
	case machine != "" && s.state.Machine != "" && machine != s.state.Machine:
		id.Epoch = newEpoch()
		s.note("identity: this state folder was made on other hardware; new bytes go on under the new epoch %s", EpochText(id.Epoch))
	case machine == "":
		id.Name = s.state.Machine
	}
	s.run, s.stopped = s.state.Run+1, s.state.Stopped
	s.Note(id, Fact{Kind: Started, Run: s.run, ID: boot, Time: s.saneAfter})
	if news, err := s.Observe(s.now()); news || err != nil {
		return err
	}
	return s.Commit()
}

func newEpoch() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])&^1 | 1<<63 // never 0
}

// setAside moves a spool away that no journal speaks of: its bytes may be the
// only copy.
func (s *Store) setAside(spool string) error {
	if abandoned, err := s.abandoned(spool); err != nil || !abandoned {
		return err
	}
	for n := 1; ; n++ {
		to := fmt.Sprintf("%s.lost-%d", spool, n)
		if _, err := os.Lstat(to); err == nil {
			continue
		}
		if err := os.Rename(spool, to); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		s.note("spool: its journal is gone; the slots are kept in %s", to)
		return syncDir(s.dir)
	}
}

// abandoned says whether slots have bytes in them though the journal knows no stream.
func (s *Store) abandoned(spool string) (bool, error) {
	if len(s.state.Streams) > 0 {
		return false, nil
	}
	entries, err := os.ReadDir(spool)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("spool: %w", err)
	}
	for _, e := range entries {
		if _, ok := slotNumber(e.Name()); !ok {
			continue
		}
		r, err := openSlotReader(filepath.Join(spool, e.Name()))
		if err != nil {
			return false, fmt.Errorf("spool: %w", err)
		}
		_, ok, err := r.slotHeader()
		r.f.Close()
		if err == nil && ok {
			return true, nil
		}
	}
	return false, nil
}
