package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed-7270d448/dray/engine"
)

// A crashed is an object that the archive holds behind a run.
type crashed struct {
	object
	stream, epoch string
	data          []byte
}

// judge compares the archive and the state folder with what was seen from outside.
func (w *crashWorld) judge(ctx context.Context, out *report, res *crashResult) error {
	objects, left, err := w.archived(ctx, out)
	if err != nil {
		return err
	}
	for _, name := range left {
		out.violation("an upload is left behind: %s", name)
	}
	dropped := w.judgeReceipts(out, objects)
	for _, d := range dropped {
		res.dropped += d.End - d.Start
	}
	for _, o := range objects {
		res.archive += o.end - o.start
	}
	w.judgeStream(out, objects, dropped, crashPipe, w.pipeLines, w.keptPipe(dropped))
	w.judgeStream(out, objects, dropped, crashTail, w.fileLines, w.keptTail(dropped))
	var marks int64
	for i, l := range w.lives {
		if i > 0 && l.epoch != "" && l.epoch == w.lives[i-1].epoch && l.begin < marks {
			out.violation("life %d begins at offset %d of the pipe, %d was kept before", i+1, l.begin, marks)
		}
		marks = max(marks, l.kept)
	}
	res.marks = marks
	res.aside = w.judgeState(out)
	return nil
}

// keptPipe returns the lines of the pipe that were seen to be kept, and were
// not dropped since.
func (w *crashWorld) keptPipe(dropped []engine.Receipt) (need []run) {
	for _, l := range w.lives {
		if l.kept <= l.begin {
			continue
		}
		from, to := l.base, l.base
		if !l.known { // what both readings have in common
			from, to = l.first+1, l.first
		}
		for _, e := range without(extent{l.begin, l.kept}, l.epoch, crashPipe, dropped) {
			need = append(need, run{from + int((e.start-l.begin)/lineSize), to + int((e.end-l.begin)/lineSize)})
		}
	}
	return need
}

// keptTail returns the lines of the file: it was there all the time, so none
// may be missing that was not dropped.
func (w *crashWorld) keptTail(dropped []engine.Receipt) (need []run) {
	epoch := w.lives[len(w.lives)-1].epoch
	for _, e := range without(extent{0, int64(w.fileLines) * lineSize}, epoch, crashTail, dropped) {
		need = append(need, run{int(e.start / lineSize), int(e.end / lineSize)})
	}
	return need
}

// without returns e less what was dropped of it.
func without(e extent, epoch, stream string, dropped []engine.Receipt) []extent {
	list := []extent{e}
	for _, d := range dropped {
		if d.Epoch != epoch || d.Stream != stream {
			continue
		}
		var rest []extent
		for _, e := range list {
			if d.Start > e.start {
				rest = append(rest, extent{e.start, min(e.end, d.Start)})
			}
			if d.End < e.end {
				rest = append(rest, extent{max(e.start, d.End), e.end})
			}
		}
		list = slices.DeleteFunc(rest, func(e extent) bool { return e.start >= e.end })
	}
	return list
}

// judgeStream checks one stream: objects tile it, its lines are whole, in order
// and none twice, and none is missing that is needed.
func (w *crashWorld) judgeStream(out *report, objects []crashed, dropped []engine.Receipt, stream string, made int, need []run) {
	age := map[string]int{} // of epochs
	for i, l := range w.lives {
		if _, seen := age[l.epoch]; !seen {
			age[l.epoch] = i
		}
	}
	list := slices.DeleteFunc(slices.Clone(objects), func(o crashed) bool { return o.stream != stream })
	slices.SortFunc(list, func(a, b crashed) int {
		return cmp.Or(cmp.Compare(age[a.epoch], age[b.epoch]), cmp.Compare(a.start, b.start))
	})
	lines := &lineCheck{report: out}
	var end int64
	var epoch string
	for _, o := range list {
		if _, known := age[o.epoch]; !known {
			out.violation("%s: no life had its epoch", o.key)
		}
		if o.epoch != epoch {
			epoch, end = o.epoch, 0
		}
		if o.start < end {
			out.violation("%s begins at %d, inside the object before it, which ends at %d", o.key, o.start, end)
		} else if o.start > end {
			hole := int64(0)
			for _, e := range without(extent{end, o.start}, epoch, stream, dropped) {
				hole += e.end - e.start
			}
			if hole > o.gap {
				out.violation("%s: %d bytes are missing before it, its dray-gap says %d", o.key, hole, o.gap)
			}
		}
		end = o.end
		_, _ = lines.Write(o.data) // it does not fail
	}
	lines.finish(made)
	for _, m := range lines.missing {
		for _, n := range need {
			if from, to := max(m.first, n.first), min(m.end, n.end); from < to {
				out.violation("stream %s: lines %d to %d were kept and are missing", stream, from, to-1)
			}
		}
	}
}

// judgeReceipts checks that each object has one receipt and each receipt its
// object. It returns those of what was dropped.
func (w *crashWorld) judgeReceipts(out *report, objects []crashed) (dropped []engine.Receipt) {
	have := map[string]crashed{}
	for _, o := range objects {
		have[o.key] = o
	}
	seen := map[string]int{}
	for _, f := range w.disk.Files() {
		if name := filepath.Base(f.Path); !strings.HasPrefix(f.Path, "/state/receipts") || !strings.HasSuffix(name, ".jsonl") {
			continue
		}
		for line := range bytes.Lines(f.Data) {
			var r engine.Receipt
			if err := json.Unmarshal(line, &r); err != nil {
				out.violation("%s: a line that is none: %.80q", f.Path, line)
				continue
			}
			if r.Dropped != "" {
				dropped = append(dropped, r)
				continue
			}
			seen[r.Key]++
			if o, ok := have[w.bucketKey(r.Key)]; !ok {
				out.violation("receipt of %s: there is no such object", r.Key)
			} else if o.start != r.Start || o.end != r.End {
				out.violation("receipt of %s: it says %d to %d, the object is %d to %d", r.Key, r.Start, r.End, o.start, o.end)
			}
		}
	}
	for _, o := range objects {
		if n := seen[strings.TrimPrefix(o.key, w.bucketKey(""))]; n != 1 {
			out.violation("%s has %d receipts", o.key, n)
		}
	}
	return dropped
}

func (w *crashWorld) bucketKey(key string) string {
	if w.plan.scene.dest == "s3" {
		return w.prefix() + key
	}
	return key
}

// What may be in the state folder of a daemon that has stopped.
var stateFiles = regexp.MustCompile(`^/state/?(|lock|control\.sock|spool|spool/\d{8}\.slot|journal|journal/reserve|journal/\d{8}(|/snapshot|/log|/log/0{19}1)|receipts\.jsonl|receipts-\d{8}\.jsonl)$`)

// What start-up may set aside: bytes that a cut left of what was never
// acknowledged, which nobody can tell from rot.
var asideFiles = regexp.MustCompile(`^/state/(receipts\.damaged|journal/damaged-.*)$`)

// judgeState looks for files that nobody needs. It returns those set aside.
func (w *crashWorld) judgeState(out *report) (aside []string) {
	generations := map[string]bool{}
	for _, f := range w.disk.Files() {
		switch {
		case !strings.HasPrefix(f.Path, "/state"):
		case asideFiles.MatchString(f.Path):
			if strings.Count(f.Path, "/") <= 3 {
				aside = append(aside, f.Path)
			}
		case !stateFiles.MatchString(f.Path):
			out.violation("%s is left in the state folder", f.Path)
		case strings.HasPrefix(f.Path, "/state/journal/0") && strings.Count(f.Path, "/") == 3:
			generations[f.Path] = true
		}
	}
	if len(generations) != 1 {
		out.violation("the journal has %d generations: %v", len(generations), slices.Sorted(maps.Keys(generations)))
	}
	return aside
}

// archived returns what the archive holds of this run, and unfinished uploads.
func (w *crashWorld) archived(ctx context.Context, out *report) (objects []crashed, left []string, err error) {
	if w.plan.scene.dest == "local" {
		objects, left = w.archivedOnDisk(out)
		return objects, left, nil
	}
	if w.plan.scene.dest == "glacier" {
		return w.archivedInVault(out)
	}
	g := w.lab.gateway
	dir := filepath.Join(g.BucketDir, w.prefix())
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) && path == dir {
			return filepath.SkipAll // nothing was archived
		}
		if err != nil || d.IsDir() {
			return err
		}
		key, err := filepath.Rel(g.BucketDir, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		head, err := w.lab.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &g.Bucket, Key: &key})
		if err != nil {
			return err
		}
		objects = append(objects, newCrashed(out, key, data, head.Metadata))
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	pages := s3.NewListMultipartUploadsPaginator(w.lab.client, &s3.ListMultipartUploadsInput{Bucket: &g.Bucket, Prefix: aws.String(w.prefix())})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, nil, err
		}
		for _, u := range page.Uploads {
			left = append(left, aws.ToString(u.Key))
		}
	}
	return objects, left, nil
}

// archivedOnDisk reads the local archive, whose folder is on the run's disk.
func (w *crashWorld) archivedOnDisk(out *report) (objects []crashed, left []string) {
	const at, hidden = "/archive/", "/archive/.dray/"
	type claim struct {
		Key      string            `json:"key"`
		Metadata map[string]string `json:"metadata"`
	}
	metadata := map[string]map[string]string{}
	files := w.disk.Files()
	for _, f := range files {
		switch rest, ok := strings.CutPrefix(f.Path, hidden+"meta/"); {
		case strings.HasPrefix(f.Path, hidden+"uploads/"):
			left = append(left, f.Path)
		case !ok || f.Mode.IsDir():
		case !strings.HasSuffix(rest, ".json"):
			out.violation("%s is left in the archive", f.Path)
		default:
			var c claim
			if err := json.Unmarshal(f.Data, &c); err != nil {
				out.violation("%s: %v", f.Path, err)
			}
			metadata[c.Key] = c.Metadata
		}
	}
	for _, f := range files {
		if key, ok := strings.CutPrefix(f.Path, at); ok && !f.Mode.IsDir() && !strings.HasPrefix(f.Path, hidden) {
			objects = append(objects, newCrashed(out, key, f.Data, metadata[key]))
		}
	}
	return objects, left
}

// newCrashed reads what key and metadata say of an object.
func newCrashed(out *report, key string, data []byte, meta map[string]string) crashed {
	o := crashed{object: object{key: key, hasMeta: true}, stream: meta["dray-stream"], epoch: meta["dray-epoch"], data: data}
	number := func(name string) int64 {
		n, err := strconv.ParseInt(meta[name], 10, 64)
		if err != nil {
			out.violation("%s: %s is %q", key, name, meta[name])
		}
		return n
	}
	o.start, o.gap = number("dray-start"), number("dray-gap")
	o.end = o.start + int64(len(data))
	if want := fmt.Sprintf("%s/%s-", o.stream, o.epoch); !strings.Contains(key, want) {
		out.violation("%s: its metadata does not fit its key: %v", key, meta)
	}
	return o
}

// tell says what is left of a run, for who looks into it.
func (w *crashWorld) tell(to io.Writer) {
	for i, said := range w.said {
		fmt.Fprintf(to, "  life %d: %+v\n", i+1, w.lives[i])
		for line := range strings.Lines(said) {
			fmt.Fprintf(to, "    %s", line)
		}
	}
	for _, f := range w.disk.Files() {
		if f.Mode.IsDir() {
			continue
		}
		fmt.Fprintf(to, "  %8d %s\n", len(f.Data), f.Path)
		if strings.HasPrefix(f.Path, "/state/receipts") {
			fmt.Fprintf(to, "%s", f.Data)
		}
	}
}
