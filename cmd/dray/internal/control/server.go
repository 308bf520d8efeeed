package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/seed-7270d448/dray/engine"
)

// Engine is what the server asks; *engine.Engine is one.
type Engine interface {
	Status() engine.Status
	Flush(ctx context.Context, stream string) error
	Ownership() engine.Ownership
}

// Bounds of the server.
const (
	maxConns   = 16
	maxHeader  = 8 << 10 // bytes
	callTime   = 10 * time.Second
	replyTime  = callTime + 5*time.Second
	headerTime = 5 * time.Second
)

// Config says where a Server listens.
type Config struct {
	StateDir string // the engine's; see SocketPath
	Metrics  string // loopback address that serves /metrics too; "": none
	Engine   Engine
}

// A Server answers on the control socket until it is closed.
type Server struct {
	servers   []*http.Server
	listeners []net.Listener
	running   sync.WaitGroup
}

// New makes the socket, so that what is in the way of it is an error at once.
// Nothing is served before Start. The caller holds the lock of the state folder.
func New(c Config) (*Server, error) {
	l, err := listen(c.StateDir)
	if err != nil {
		return nil, err
	}
	s := &Server{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) { serveStatus(w, c.Engine) })
	mux.HandleFunc("POST /flush", func(w http.ResponseWriter, r *http.Request) { serveFlush(w, r, c.Engine) })
	mux.HandleFunc("GET /ownership", func(w http.ResponseWriter, r *http.Request) { serveOwnership(w, c.Engine) })
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) { serveMetrics(w, c.Engine) })
	s.add(l, mux)
	if c.Metrics != "" {
		l, err := net.Listen("tcp", c.Metrics)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("metrics: %w; choose another port under metrics.listen", err), s.Close())
		}
		open := http.NewServeMux()
		open.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) { serveMetrics(w, c.Engine) })
		s.add(l, open)
	}
	return s, nil
}

func (s *Server) add(l net.Listener, h http.Handler) {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       replyTime, // not less: it would end a call that still works
		WriteTimeout:      replyTime,
		MaxHeaderBytes:    maxHeader,
	}
	server.SetKeepAlivesEnabled(false) // no idle connection holds memory
	s.servers = append(s.servers, server)
	s.listeners = append(s.listeners, newBounded(l, maxConns))
}

// Start serves until Close.
func (s *Server) Start() {
	for i, server := range s.servers {
		l := s.listeners[i]
		s.running.Go(func() {
			// Serve ends with ErrServerClosed, or when the listener is beyond
			// use; the daemon's work does not depend on it either way.
			_ = server.Serve(l)
		})
	}
}

// Close ends every connection, removes the socket and waits for what Start began.
func (s *Server) Close() error {
	var errs []error
	for i, server := range s.servers {
		errs = append(errs, server.Close())
		if err := s.listeners[i].Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	s.running.Wait()
	return errors.Join(errs...)
}

func serveStatus(w http.ResponseWriter, e Engine) {
	w.Header().Set("Content-Type", "application/json")
	// A failed write is the client's going away.
	_ = json.NewEncoder(w).Encode(e.Status())
}

func serveOwnership(w http.ResponseWriter, e Engine) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(e.Ownership())
}

func serveFlush(w http.ResponseWriter, r *http.Request, e Engine) {
	ctx, cancel := context.WithTimeout(r.Context(), callTime)
	defer cancel()
	if err := e.Flush(ctx, r.URL.Query().Get("stream")); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func serveMetrics(w http.ResponseWriter, e Engine) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_ = WriteMetrics(w, e.Status())
}
