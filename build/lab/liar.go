package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-7270d448/dray/transport/transporttest"
)

// A liar is the far end of a link, and the link: a daemon in a network namespace
// whose one interface leads here, where a proxy stands before the S3 server.
type liar struct {
	rig     *rig // the daemon and its folders
	gateway *transporttest.Gateway
	proxy   *transporttest.Proxy
	portal  *http.Server // at another address, with the proxy's port
	output  *tail

	space, near, far string // namespace; interfaces in it and here
	net              string // "10.213.7."
	host             int    // the daemon's, in net
	undo             []func() error
	mark             time.Time // when a lie, or the truth, began: after what prepares it

	feeding sync.WaitGroup
	quit    chan struct{}
	idle    atomic.Bool // nothing is fed
	fed     bytes.Buffer
	fail    error
}

// newLiar makes all but the daemon, which is built. Close must follow.
func newLiar(ctx context.Context, source, rate, budget string) (_ *liar, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("needs root, for a network namespace; run it as root")
	}
	id := os.Getpid() % 250
	l := &liar{space: fmt.Sprintf("dray-lies-%d", id), near: fmt.Sprintf("dl%dn", id), far: fmt.Sprintf("dl%df", id),
		net: fmt.Sprintf("10.213.%d.", id), host: 2, quit: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if err := l.connect(); err != nil {
		return nil, err
	}
	if l.gateway, err = transporttest.NewGateway(transporttest.GatewayOptions{}); err != nil {
		return nil, err
	}
	if l.proxy, err = transporttest.NewProxy(transporttest.ProxyOptions{Target: l.gateway.Endpoint, Listen: l.net + "1:0"}); err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(strings.TrimPrefix(l.proxy.Endpoint, "http://"))
	if err != nil {
		return nil, err
	}
	if err := l.servePortal(port); err != nil {
		return nil, err
	}
	return l, l.prepare(ctx, port, source, rate, budget)
}

// connect makes the namespace and the cable to it.
func (l *liar) connect() error {
	etc := filepath.Join("/etc/netns", l.space)
	if err := os.MkdirAll(etc, 0o755); err != nil {
		return err
	}
	l.undo = append(l.undo, func() error { return os.RemoveAll(etc) })
	if err := l.name("1"); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(etc, "resolv.conf"), []byte("nameserver "+l.net+"1\n"), 0o644); err != nil {
		return err
	}
	l.undo = append(l.undo, func() error { return ip("netns", "del", l.space) })
	for _, step := range []string{
		"netns add " + l.space,
		"link add " + l.far + " type veth peer name " + l.near + " netns " + l.space,
		"addr add " + l.net + "1/24 dev " + l.far,
		"addr add " + l.net + "66/24 dev " + l.far,
		"link set " + l.far + " up gso_max_segs 1",
		"-n " + l.space + " link set lo up",
		"-n " + l.space + " addr add " + l.net + "2/24 dev " + l.near,
		"-n " + l.space + " link set " + l.near + " up gso_max_segs 1",
	} {
		if err := ip(strings.Fields(step)...); err != nil {
			return err
		}
	}
	return nil
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// name says which host the service's name leads to.
func (l *liar) name(host string) error {
	return os.WriteFile(filepath.Join("/etc/netns", l.space, "hosts"), []byte("127.0.0.1 localhost\n"+l.net+host+" s3.lab\n"), 0o644)
}

func (l *liar) servePortal(port string) error {
	door, err := net.Listen("tcp", l.net+"66:"+port)
	if err != nil {
		return err
	}
	l.portal = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.Copy(io.Discard, r.Body) // whatever it is
		_, _ = io.WriteString(w, "<html><body>Welcome to Hotel Wi-Fi</body></html>")
	})}
	go func() { _ = l.portal.Serve(door) }() // until it is closed
	return nil
}

// prepare builds the daemon and writes its config.
func (l *liar) prepare(ctx context.Context, port, source, rate, budget string) (err error) {
	r := &rig{gateway: l.gateway}
	l.rig, l.output = r, &r.output
	if r.dir, err = os.MkdirTemp("", "dray-lab-"); err != nil {
		return err
	}
	r.program = filepath.Join(r.dir, "dray")
	build := exec.CommandContext(ctx, "go", "build", "-o", r.program, "github.com/seed-7270d448/dray/cmd/dray")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build dray: %w\n%s", err, out)
	}
	r.http = controlClient(r.stateDir())
	r.config = filepath.Join(r.dir, "dray.yaml")
	text := fmt.Sprintf(`device: lab
state_dir: %s
spool: {max_bytes: 256MiB, min_free: 1MiB}
link: {rate: %s, budgets: [{interface: %s, day: %s}]}
streams:
  - name: %s
    source: %s
    framing: lines
    sync: {interval: 100ms}
    object: {max_bytes: 1MiB, max_age: 500ms}
    key: "{stream}/{stream}-{epoch}-{start}.log"
    destination: archive
destinations:
  - name: archive
    type: s3
    endpoint: http://s3.lab:%s
    path_style: true
    region: %s
    bucket: %s
    credentials: {access_key_id: %s, secret_access_key: %s}
`, r.stateDir(), rate, l.near, budget, streamName, source, port, l.gateway.Region, l.gateway.Bucket, l.gateway.AccessKeyID, l.gateway.SecretAccessKey)
	return os.WriteFile(r.config, []byte(text), 0o600)
}

// start starts the daemon, which reads from stdin what its config says that it does.
func (l *liar) start() (stdin io.WriteCloser, err error) {
	r := l.rig
	r.cmd = exec.Command("ip", "netns", "exec", l.space, r.program, "run", "-c", r.config)
	r.cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY=", "NOTIFY_SOCKET=")
	r.cmd.Stdout, r.cmd.Stderr = &r.output, &r.output
	if stdin, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	exited := make(chan struct{})
	r.exited = exited
	go func() {
		defer close(exited)
		_ = r.cmd.Wait() // ProcessState says how it ended
	}()
	return stdin, nil
}

// feed writes 200 KB of lines a second.
func (l *liar) feed(to io.WriteCloser) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		if l.idle.Load() {
			n--
			if !l.wait(tick.C) {
				return to.Close()
			}
			continue
		}
		chunk := bytes.Repeat([]byte(fmt.Sprintf("%09d\n", n)), 1000)
		if _, err := to.Write(chunk); err != nil {
			return err
		}
		l.fed.Write(chunk)
		if !l.wait(tick.C) {
			return to.Close()
		}
	}
}

// wait waits for the next turn, and says whether there is one.
func (l *liar) wait(turn <-chan time.Time) bool {
	select {
	case <-l.quit:
		return false
	case <-turn:
		return true
	}
}

func (l *liar) stopFeed() (*bytes.Buffer, error) {
	close(l.quit)
	l.feeding.Wait()
	return &l.fed, l.fail
}

// carried is how many bytes of IP packets went over the interface: what it counts,
// less an Ethernet header each.
func (l *liar) carried() (n int64, err error) {
	for _, way := range []string{"rx", "tx"} {
		for what, factor := range map[string]int64{"bytes": 1, "packets": -14} {
			b, err := os.ReadFile(filepath.Join("/sys/class/net", l.far, "statistics", way+"_"+what))
			if err != nil {
				return 0, err
			}
			v, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
			if err != nil {
				return 0, err
			}
			n += factor * v
		}
	}
	return n, nil
}

// Close ends all that runs and removes all that was made.
func (l *liar) Close() error {
	var errs []error
	if l.rig != nil {
		if l.rig.running() {
			errs = append(errs, l.rig.cmd.Process.Kill())
			<-l.rig.exited
		}
		errs = append(errs, os.RemoveAll(l.rig.dir))
	}
	if l.portal != nil {
		errs = append(errs, l.portal.Close())
	}
	if l.proxy != nil {
		errs = append(errs, l.proxy.Close())
	}
	if l.gateway != nil {
		errs = append(errs, l.gateway.Close())
	}
	for i := range l.undo {
		errs = append(errs, l.undo[len(l.undo)-1-i]())
	}
	return errors.Join(errs...)
}

// script lets the proxy lie.
func script(text string) func(*liar) error {
	return func(l *liar) error { return l.proxy.Read(text) }
}

// truth ends what the proxy does. In life the device has left the network that
// lied, or the portal lets it through and the link is set up anew.
func truth(l *liar) error {
	if err := l.proxy.Read(""); err != nil {
		return err
	}
	return errors.Join(ip("-n", l.space, "addr", "add", "192.0.2.1/32", "dev", "lo"), ip("-n", l.space, "addr", "del", "192.0.2.1/32", "dev", "lo"))
}

// move gives the device another address.
func (l *liar) move() error {
	old := l.net + strconv.Itoa(l.host) + "/24"
	l.host++
	return errors.Join(ip("-n", l.space, "addr", "del", old, "dev", l.near), ip("-n", l.space, "addr", "add", l.net+strconv.Itoa(l.host)+"/24", "dev", l.near))
}

// hostsAge is how long a name look-up may go on by what it read of the hosts file.
const hostsAge = 6 * time.Second

func (l *liar) roam() error {
	if err := l.name("66"); err != nil {
		return err
	}
	time.Sleep(hostsAge)
	l.mark = time.Now()
	return l.move()
}

func (l *liar) comeHome() error {
	if err := l.name("1"); err != nil {
		return err
	}
	time.Sleep(hostsAge)
	l.mark = time.Now()
	return l.move()
}

// unplug takes the carrier away, which the device sees.
func (l *liar) unplug() error { return ip("link", "set", l.far, "down") }

func (l *liar) plug() error { return ip("link", "set", l.far, "up") }

// swallow lets nothing come back to the device, which does not see that.
func (l *liar) swallow() error {
	return ip("route", "add", "blackhole", l.net+strconv.Itoa(l.host)+"/32")
}

// forget lets nothing through while nothing is sent, and tells nobody of it.
func (l *liar) forget() error {
	l.idle.Store(true)
	time.Sleep(2 * time.Second) // what was fed goes out
	l.mark = time.Now()
	return l.swallow()
}

func (l *liar) remember() error {
	err := ip("route", "del", "blackhole", l.net+strconv.Itoa(l.host)+"/32")
	l.mark = time.Now()
	l.idle.Store(false)
	return err
}

func (l *liar) spit() error {
	if err := ip("route", "del", "blackhole", l.net+strconv.Itoa(l.host)+"/32"); err != nil {
		return err
	}
	return truth(l)
}
