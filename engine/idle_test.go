package engine_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

func TestAStreamTooSlowForAVaultIsToldAtStartUp(t *testing.T) {
	v := newVaulted(t, transporttest.VaultOptions{})
	v.cfg.Streams[0].Object.MaxAge = 48 * time.Hour
	e := v.open()
	if notes := strings.Join(e.Status().Notes, "\n"); !strings.Contains(notes, "stream log: object.max_age is 48h") || !strings.Contains(notes, "24h") {
		t.Errorf("notes %q", notes)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	v.cfg.Streams[0].Object.MaxAge = 12 * time.Hour
	e = v.open()
	if notes := e.Status().Notes; len(notes) > 0 {
		t.Errorf("notes %q", notes)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestKeysThatAVaultCannotDescribeAreRefusedAtOnce(t *testing.T) {
	v := newVaulted(t, transporttest.VaultOptions{})
	if err := engine.Check(v.cfg); err != nil {
		t.Fatal(err)
	}
	v.cfg.Streams[0].Key = strings.Repeat("folder-of-some-length/", 36) + "{stream}-{epoch}-{start}"
	err := engine.Check(v.cfg)
	var ce *engine.ConfigError
	if !errors.As(err, &ce) || ce.Field != "streams[0].key" || !strings.Contains(ce.Error(), "1024") {
		t.Errorf("got %v, want the key refused", err)
	}
}
