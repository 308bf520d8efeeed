package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-7270d448/dray/transport/transporttest"
)

const (
	kb  = 1000
	mib = 1 << 20
)

// A trial is one kind of bad link, and how much is sent over it.
type trial struct {
	name  string
	w     weather
	size  int64
	least float64 // goodput that is promised; 0: none
}

var trials = []trial{
	{"cut each 64 KiB, 100 KB/s", weather{rate: 100 * kb, cut: 64 << 10, faster: 1}, 3 * mib / 2, 0.5},
	{"cut each 256 KiB, 100 KB/s", weather{rate: 100 * kb, cut: 256 << 10, faster: 2}, 3 * mib, 0},
	{"cut each 1 MiB, 100 KB/s", weather{rate: 100 * kb, cut: mib, faster: 10}, 16 * mib, 0.8},
	{"cut each 3 MiB, 100 KB/s", weather{rate: 100 * kb, cut: 3 * mib, faster: 20}, 36 * mib, 0.8},
	{"cut each 10 MiB, 100 KB/s", weather{rate: 100 * kb, cut: 10 * mib, faster: 50}, 100 * mib, 0.8},
	{"cut each 100 MiB, 100 KB/s", weather{rate: 100 * kb, cut: 100 * mib, faster: 100}, 400 * mib, 0.8},
	{"1 KB/s", weather{rate: kb, faster: 200}, 4 * mib, 0.8},
	{"10 KB/s", weather{rate: 10 * kb, faster: 50}, 10 * mib, 0.8},
	{"100 KB/s", weather{rate: 100 * kb, faster: 10}, 20 * mib, 0.8},
	{"30 % refused, cut each 1 MiB, 100 KB/s", weather{rate: 100 * kb, cut: mib, refuse: 0.3, faster: 10}, 16 * mib, 0.8},
	{"up 5 min an hour, 10 KB/s", weather{rate: 10 * kb, up: 5 * time.Minute, every: time.Hour, faster: 300}, 10 * mib, 0},
}

// badLinks sends files over bad links: the real daemon, TLS, a real S3 server, and
// between them TCP connections that are slow, refused, and cut after so many
// bytes. Where a link takes too long to wait for, it is made faster, and the
// daemon's pauses as much shorter: what is decided stays the same, and what a
// request costs in CPU weighs more, not less. Before it is measured the daemon has
// archived a file of eight cuts over such a link, and so has learnt what it
// carries, as a device in the field has. Other programs send the same file
// over the same link for as long as Dray took, and half as long again where their
// parts get through.
func badLinks(ctx context.Context, args []string) (_ *report, err error) {
	fs := flag.NewFlagSet("link", flag.ContinueOnError)
	var (
		only  = fs.String("run", "", "only the links whose name this regular expression matches")
		alone = fs.Bool("alone", false, "without the other programs")
		scale = fs.Float64("scale", 1, "of what is sent")
		limit = fs.Duration("limit", 3*time.Minute, "for one link")
		dir   = fs.String("dir", scratch(), "folder for files, states and the server")
	)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(*dir, "dray-lab-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	r := &linkRig{work: work, program: filepath.Join(work, "dray"), limit: *limit}
	build := exec.CommandContext(ctx, "go", "build", "-tags", "lab", "-o", r.program, "github.com/seed-7270d448/dray/cmd/dray")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build dray: %w\n%s", err, out)
	}
	if r.gateway, err = transporttest.NewGateway(transporttest.GatewayOptions{TLS: true, Dir: filepath.Join(work, "server")}); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.gateway.Close()) }()
	out := &report{}
	out.figure("link", "%-8s %9s  %8s  %-10s  %s", "program", "goodput", "archived", "sent for 1", "what the link did")
	for i, t := range trials {
		if !match.MatchString(t.name) || ctx.Err() != nil {
			continue
		}
		t.size = int64(float64(t.size) * *scale)
		if err := r.trial(ctx, out, i, t, *alone); err != nil {
			return out, fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return out, ctx.Err()
}

// linkRig is what all trials share.
type linkRig struct {
	work, program string
	gateway       *transporttest.Gateway
	limit         time.Duration
}

// trial sends one file with Dray, and then with the others at the same time, each over a link of its own.
func (r *linkRig) trial(ctx context.Context, out *report, i int, t trial, alone bool) error {
	from := filepath.Join(r.work, "from")
	if err := os.MkdirAll(from, 0o755); err != nil {
		return err
	}
	want, err := writeLines(filepath.Join(from, "file"), t.size)
	if err != nil {
		return err
	}
	to := fmt.Sprintf("trial-%d/dray", i)
	state := filepath.Join(r.work, "state")
	if err := os.RemoveAll(state); err != nil {
		return err
	}
	if t.w.cut > 0 && t.w.cut < 100*mib {
		before := filepath.Join(r.work, "before")
		if err := os.MkdirAll(before, 0o755); err != nil {
			return err
		}
		if _, err := writeLines(filepath.Join(before, "file"), 8*t.w.cut); err != nil {
			return err
		}
		var lesson report
		if _, _, err := r.over(trial{name: t.name, w: t.w, size: 8 * t.w.cut}, uint64(i), func(n *narrow) (string, error) {
			return r.dray(ctx, t, n, before, fmt.Sprintf("trial-%d/lesson", i))
		}, &lesson, "lesson", fmt.Sprintf("trial-%d/lesson", i)); err != nil {
			return err
		}
		out.rows = append(out.rows, lesson.rows...)
	}
	took, plan, err := r.over(t, uint64(i), func(n *narrow) (string, error) { return r.dray(ctx, t, n, from, to) }, out, "dray", to)
	if err != nil {
		return err
	}
	got, err := hashTree(filepath.Join(r.gateway.BucketDir, to))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		out.violation("%s: what is in the bucket is not what was sent", t.name)
	}
	if plan != "" {
		out.figure("", "         plan: %s", plan)
	}
	if alone {
		return r.clear(i)
	}
	allowed := took
	if t.w.cut == 0 || t.w.cut > 5*mib { // where their parts get through, being slower must not make it nothing
		allowed += took / 2
	}
	var others sync.WaitGroup
	rows := make([]report, len(peers))
	errs := make([]error, len(peers))
	for j, p := range peers {
		if !p.there() {
			continue
		}
		others.Go(func() {
			to := fmt.Sprintf("trial-%d/%s", i, p.name)
			_, _, errs[j] = r.over(trial{name: t.name, w: t.w, size: t.size}, uint64(i), func(n *narrow) (string, error) {
				ctx, cancel := context.WithTimeout(ctx, allowed)
				defer cancel()
				p.send(ctx, r.gateway, "https://"+n.Addr, from, to)
				return "", nil
			}, &rows[j], p.name, to)
		})
	}
	others.Wait()
	for _, row := range rows {
		out.rows = append(out.rows, row.rows...)
	}
	return errors.Join(append(errs, r.clear(i))...)
}

func (r *linkRig) clear(i int) error {
	return os.RemoveAll(filepath.Join(r.gateway.BucketDir, fmt.Sprintf("trial-%d", i)))
}

// over lets a program send over a link of its own, and reports what it got through.
func (r *linkRig) over(t trial, seed uint64, send func(*narrow) (string, error), out *report, program, to string) (took time.Duration, said string, err error) {
	n, err := newNarrow(r.gateway.Addr, t.w, seed)
	if err != nil {
		return 0, "", err
	}
	began := time.Now()
	said, err = send(n)
	took = time.Since(began)
	could := n.could(took)
	err = errors.Join(err, n.Close())
	if err != nil {
		return took, said, err
	}
	archived, err := sizeOf(filepath.Join(r.gateway.BucketDir, to))
	if err != nil {
		return took, said, err
	}
	up, _ := n.carried()
	goodput, ratio := float64(archived)/could, "-"
	if archived > 0 {
		ratio = fmt.Sprintf("%.2f", float64(up)/float64(archived))
	}
	row := fmt.Sprintf("%-8s %9.2f  %7.1f%%  %10s  %d connections, %d cut; %.0f s of the link in %.0f s", program, goodput,
		100*float64(archived)/float64(t.size), ratio, n.connections, n.cuts, took.Seconds()*t.w.faster, took.Seconds())
	fmt.Fprintln(os.Stderr, t.name+":", row) // it is long until the report
	out.figure(t.name, "%s", row)
	if goodput < t.least {
		out.violation("%s: goodput %.2f of what the link could carry, promised are %.2f", t.name, goodput, t.least)
	}
	return took, said, nil
}

// dray reads the file to its end and archives all of it. It returns the last plan it told of.
func (r *linkRig) dray(ctx context.Context, t trial, n *narrow, from, to string) (string, error) {
	state := filepath.Join(r.work, "state")
	config := filepath.Join(r.work, "dray.yaml")
	text := fmt.Sprintf(`device: lab
state_dir: %s
spool: {max_bytes: 1GiB, min_free: 1MiB, when_full: block}
streams:
  - name: file
    source: {type: file, path: %s}
    framing: lines
    destination: archive
destinations:
  - name: archive
    type: s3
    endpoint: https://%s
    path_style: true
    region: %s
    bucket: %s
    prefix: %s
    ca_file: %s
`, state, filepath.Join(from, "file"), n.Addr, r.gateway.Region, r.gateway.Bucket, to, r.gateway.CAFile)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.program, "run", "--drain", "-c", config)
	cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY=", "NOTIFY_SOCKET=", "DRAY_LAB_PACE="+strconv.FormatFloat(1/t.w.faster, 'g', -1, 64),
		"AWS_ACCESS_KEY_ID="+r.gateway.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+r.gateway.SecretAccessKey)
	var said tail
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("dray: %w\n%s", err, said.String())
	}
	plans := regexp.MustCompile(`plan="([^"]*)"`).FindAllStringSubmatch(said.String(), -1)
	if len(plans) == 0 {
		return "", nil
	}
	return plans[len(plans)-1][1], nil
}

// writeLines writes so many bytes of lines, and returns their SHA-256.
func writeLines(path string, size int64) ([]byte, error) {
	var b bytes.Buffer
	for i := 0; int64(b.Len()) < size; i++ {
		b.Write(makeLine(i))
	}
	sum := sha256.Sum256(b.Bytes())
	return sum[:], os.WriteFile(path, b.Bytes(), 0o644)
}

// filesBelow lists the files of a folder in the order of their names, without those that
// the server keeps for itself.
func filesBelow(dir string) (paths []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.Type().IsRegular() && !strings.HasPrefix(d.Name(), ".") {
			paths = append(paths, path)
		}
		return err
	})
	slices.SortFunc(paths, cmp.Compare)
	return paths, err
}

func sizeOf(dir string) (total int64, err error) {
	paths, err := filesBelow(dir)
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil {
			total += info.Size()
		}
	}
	return total, err
}

// hashTree returns the SHA-256 of all files below dir, put end to end.
func hashTree(dir string) ([]byte, error) {
	paths, err := filesBelow(dir)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			return nil, err
		}
		_, err = io.Copy(sum, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	return sum.Sum(nil), nil
}
