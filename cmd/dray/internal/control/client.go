package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/seed-7270d448/dray/engine"
)

// ErrNotRunning means that no daemon answers for the state folder.
var ErrNotRunning = errors.New("no dray is running")

// maxReply bounds what a client takes from a daemon, in bytes.
const maxReply = 8 << 20

// A Client asks the daemon that runs on one state folder. It holds nothing open.
type Client struct {
	stateDir string
	http     http.Client
}

// NewClient returns a client for the daemon on stateDir.
func NewClient(stateDir string) *Client {
	c := &Client{stateDir: stateDir}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		path := filepath.Join(stateDir, Name)
		// The link's target may be short enough where the link is not.
		if target, err := os.Readlink(path); err == nil {
			path = target
		}
		if len(path) > maxPath {
			return nil, fmt.Errorf("the path has %d bytes, the kernel takes %d", len(path), maxPath)
		}
		return d.DialContext(ctx, "unix", path)
	}
	c.http = http.Client{
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
		Timeout:   callTime + 10*time.Second,
	}
	return c
}

// Status returns the daemon's status.
func (c *Client) Status(ctx context.Context) (s engine.Status, err error) {
	return s, c.get(ctx, "/status", &s)
}

// Ownership returns which uploads the daemon's journal owns.
func (c *Client) Ownership(ctx context.Context) (o engine.Ownership, err error) {
	return o, c.get(ctx, "/ownership", &o)
}

func (c *Client) get(ctx context.Context, path string, to any) error {
	body, err := c.call(ctx, http.MethodGet, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, to); err != nil {
		return fmt.Errorf("the daemon's answer makes no sense: %w; is it of another version?", err)
	}
	return nil
}

// Flush seals what is open of a stream, "" for every stream. It returns when
// that is durable, not when it is archived.
func (c *Client) Flush(ctx context.Context, stream string) error {
	_, err := c.call(ctx, http.MethodPost, "/flush?"+url.Values{"stream": {stream}}.Encode())
	return err
}

func (c *Client) call(ctx context.Context, method, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://dray"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		// What the URL adds ("Get http://dray/status") would only puzzle.
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%w on %s", ErrNotRunning, c.stateDir)
		}
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("%w; ask as root or as the user that dray runs as", err)
		}
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, errors.New(strings.TrimSpace(string(body)))
	}
	return body, nil
}
