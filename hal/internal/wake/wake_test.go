package wake

import (
	"errors"
	"os"
	"testing"
)

func TestWaitEndsWithBytesEndAndWake(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	k, err := New()
	if err != nil {
		t.Fatal(err)
	}
	fd := int(r.Fd())
	if _, err := w.Write([]byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := k.Wait(fd); err != nil {
		t.Errorf("Wait with a byte there = %v, want nil", err)
	}
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}

	done := make(chan error)
	go func() { done <- k.Wait(fd) }()
	k.Wake()
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Wait after Wake = %v, want os.ErrClosed", err)
	}
	if err := k.Wait(fd); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a second Wait after Wake = %v, want os.ErrClosed", err)
	}
	if err := k.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}

	k, err = New()
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := k.Wait(fd); err != nil {
		t.Errorf("Wait at the end = %v, want nil", err)
	}
	if err := k.Wait(1 << 20); err == nil {
		t.Error("Wait for a descriptor that is not open = nil, want an error")
	}
}
