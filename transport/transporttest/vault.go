package transporttest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// VaultOptions say what vault to simulate.
type VaultOptions struct {
	Name      string        // default "dray-vault"
	Region    string        // default "us-east-1"
	Dir       string        // folder for what it holds; default: one that goes with it
	Page      int           // lines of a list that it gives at once; default 50
	Remembers time.Duration // how long after its success a Complete can be repeated; default 1 h
	JobTakes  time.Duration // how long an inventory job takes; default 4 h
	Listen    string        // default: a free port on loopback
	Keys      Keys          // that may do everything; default: of its own
}

// A Vault simulates one vault of Amazon Glacier, which no server to install has.
// It is strict: every rule of the developer guide is a refusal here, with
// Glacier's code. Its hashes are computed by another code base (TreeHasher), and
// its signatures checked without the SDK.
//
//   - Every request carries the version of the API and is signed right, of the
//     right region and service, at most 15 minutes old.
//   - A part size is 1 MiB times a power of two, up to 4 GiB; a description is at
//     most 1,024 characters of printable ASCII.
//   - A part carries both hashes and a Content-Range that begins at a multiple of
//     the part size and is no longer. A short one that is not the last is taken;
//     the last upload of a range counts.
//   - A Complete with a missing range, another size or another tree hash is
//     refused, and the upload stays open.
//   - After a Complete the upload is in no list, and can be repeated for a while
//     with the same archive ID; then it is not known any more.
//   - An upload without a call for 24 hours by the vault's own clock, which
//     Advance sets forward, is no more.
//   - Archives are listed by an inventory job alone, which takes hours, of an
//     inventory that is a day old.
type Vault struct {
	Endpoint string // "http://127.0.0.1:40001"
	Addr     string
	Name     string
	Region   string
	Account  string
	Keys     Keys

	o       VaultOptions
	dir     string
	own     bool // dir was made here
	hasher  *TreeHasher
	server  *http.Server
	serving sync.WaitGroup

	calls sync.RWMutex // held while a call is served, so that none spans an Advance

	mu       sync.Mutex
	ahead    time.Duration
	uploads  map[string]*vaultUpload
	done     map[string]finished // by upload
	archives []VaultArchive
	listed   int // archives that the inventory knows
	made     time.Time
	jobs     []*vaultJob
	denied   []string
	requests []string
	tallies  map[string]*VaultTally // by description
	names    int                    // of files, counted
	failed   error
}

// A VaultArchive is a finished archive.
type VaultArchive struct {
	ID, Upload, Description, TreeHash string
	Size                              int64
	Created                           time.Time
	File                              string // that holds its bytes
}

// maxIdleUpload is how long an upload lasts without a call.
const maxIdleUpload = 24 * time.Hour

// StartVault is NewVault for a test: it fails the test on an error and closes the
// vault when the test ends.
func StartVault(t testing.TB, o VaultOptions) *Vault {
	t.Helper()
	v, err := NewVault(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Errorf("close vault: %v", err)
		}
	})
	return v
}

// NewVault starts an empty vault. The caller must Close it. The working folder
// must be inside the repository.
func NewVault(o VaultOptions) (_ *Vault, err error) {
	v := &Vault{
		Name: o.Name, Region: o.Region, Account: "123456789012", Keys: o.Keys,
		o: o, dir: o.Dir, uploads: map[string]*vaultUpload{}, done: map[string]finished{}, tallies: map[string]*VaultTally{},
	}
	for field, value := range map[*string]string{&v.Name: "dray-vault", &v.Region: "us-east-1", &v.o.Listen: "127.0.0.1:0"} {
		if *field == "" {
			*field = value
		}
	}
	if v.Keys == (Keys{}) {
		v.Keys = Keys{"AKIAVAULT", rand.Text()}
	}
	if v.o.Page == 0 {
		v.o.Page = 50
	}
	if v.o.Remembers == 0 {
		v.o.Remembers = time.Hour
	}
	if v.o.JobTakes == 0 {
		v.o.JobTakes = 4 * time.Hour
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start vault: %w", err), v.removeDir())
		}
	}()
	if v.dir == "" {
		if v.dir, err = os.MkdirTemp("", "dray-vault-"); err != nil {
			return nil, err
		}
		v.own = true
	} else if err := os.MkdirAll(v.dir, 0o755); err != nil {
		return nil, err
	}
	if v.hasher, err = NewTreeHasher(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", v.o.Listen)
	if err != nil {
		return nil, errors.Join(err, v.hasher.Close())
	}
	v.Addr = l.Addr().String()
	v.Endpoint = "http://" + v.Addr
	v.server = &http.Server{Handler: http.HandlerFunc(v.serve), ErrorLog: discard}
	v.serving.Go(func() {
		if err := v.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.failed = errors.Join(v.failed, err)
		}
	})
	return v, nil
}

// Close ends it and removes what was made for it.
func (v *Vault) Close() error {
	err := v.server.Close()
	v.serving.Wait()
	err = errors.Join(err, v.hasher.Close(), v.removeDir())
	v.mu.Lock()
	defer v.mu.Unlock()
	return errors.Join(err, v.failed)
}

func (v *Vault) removeDir() error {
	if !v.own {
		return nil
	}
	return os.RemoveAll(v.dir)
}

// Advance waits for the calls that are under way and sets the vault's clock
// forward. Signatures are checked by the real one.
func (v *Vault) Advance(d time.Duration) {
	v.calls.Lock()
	defer v.calls.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ahead += d
}

// now is the vault's time. The lock is held.
func (v *Vault) now() time.Time { return time.Now().Add(v.ahead).UTC() }

// Deny refuses the calls of these names from now on, for want of permission:
// "create", "part", "parts", "uploads", "complete", "abort", "job", "jobs", "output".
func (v *Vault) Deny(calls ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.denied = calls
}

// Archives returns what the vault holds, in the order in which it was made.
func (v *Vault) Archives() []VaultArchive {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.archives)
}

// Uploads returns the descriptions of the uploads that are open.
func (v *Vault) Uploads() (open []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.expire()
	for _, u := range v.uploads {
		open = append(open, u.description)
	}
	slices.Sort(open)
	return open
}

// Pretend makes an upload of that description which seems to have so many parts
// of 1 MiB. There are no bytes, so it can be listed and aborted, nothing else.
func (v *Vault) Pretend(description string, parts int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	u := &vaultUpload{id: rand.Text(), description: description, partSize: 1 << 20, begun: v.now(), touched: v.now(), parts: map[int64]vaultPart{}}
	for i := range int64(parts) {
		u.parts[i<<20] = vaultPart{size: 1 << 20, tree: fmt.Sprintf("%064x", i)}
	}
	v.uploads[u.id] = u
}

// A VaultTally counts what was done for archives of one description.
type VaultTally struct {
	Created  int            // uploads
	Parts    map[string]int // taken, by upload
	Repeated int            // parts taken that were there already
}

// Tallies returns them by description.
func (v *Vault) Tallies() map[string]VaultTally {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := map[string]VaultTally{}
	for description, t := range v.tallies {
		all[description] = VaultTally{t.Created, maps.Clone(t.Parts), t.Repeated}
	}
	return all
}

// Requests returns the names of the calls that were let in, in order, as Deny has them.
func (v *Vault) Requests() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.requests)
}

func (v *Vault) serve(w http.ResponseWriter, r *http.Request) {
	v.calls.RLock()
	defer v.calls.RUnlock()
	c, ok := vaultCall(r)
	if !ok {
		vaultError(404, "UnknownOperationException", "There is no such operation").write(w)
		return
	}
	var small []byte
	if c.op != "part" {
		var err error
		if small, err = io.ReadAll(io.LimitReader(r.Body, 1<<20)); err != nil {
			hangUp()
		}
	}
	reply := v.admit(r, c, small)
	if reply == nil && c.op == "part" {
		reply = v.part(r, c)
	} else if reply == nil {
		reply = v.do(r, c, small)
	}
	if reply.Status/100 != 2 {
		_, _ = io.Copy(io.Discard, r.Body) // else the refusal might not be read
	}
	reply.write(w)
}

func (v *Vault) arn() string {
	return fmt.Sprintf("arn:aws:glacier:%s:%s:vaults/%s", v.Region, v.Account, v.Name)
}

// expire forgets uploads that idle, and Completes that were long ago. The lock
// is held.
func (v *Vault) expire() {
	now := v.now()
	for id, u := range v.uploads {
		if now.Sub(u.touched) > maxIdleUpload {
			delete(v.uploads, id)
			v.failed = errors.Join(v.failed, os.RemoveAll(u.dir))
		}
	}
	for id, f := range v.done {
		if now.Sub(f.at) > v.o.Remembers {
			delete(v.done, id)
		}
	}
	if now.Sub(v.made) >= 24*time.Hour && len(v.archives) > 0 { // an inventory a day
		v.made, v.listed = now, len(v.archives)
	}
}

// page cuts a list at its marker and its limit; next is the marker of what is left.
func (v *Vault) page(r *http.Request, n int) (from, to int, next any, refusal *CannedReply) {
	q := r.URL.Query()
	limit := v.o.Page
	if s := q.Get("limit"); s != "" {
		l, err := strconv.Atoi(s)
		if err != nil || l < 1 || l > 1000 {
			return 0, 0, nil, wrongValue("Invalid limit: %s", s)
		}
		limit = min(limit, l)
	}
	if m := q.Get("marker"); m != "" {
		i, err := strconv.Atoi(m)
		if err != nil || i < 0 || i > n {
			return 0, 0, nil, wrongValue("Invalid marker: %s", m)
		}
		from = i
	}
	if to = min(from+limit, n); to < n {
		next = strconv.Itoa(to)
	}
	return from, to, next, nil
}

// temp returns a path in the vault's folder that nobody else uses.
func (v *Vault) temp() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.names++
	return filepath.Join(v.dir, fmt.Sprintf("body-%d", v.names))
}

// stamp writes a time as Glacier does.
func stamp(t time.Time) string { return t.Format("2006-01-02T15:04:05.000Z") }

// do makes a call that has no body worth mentioning.
func (v *Vault) do(r *http.Request, c call, body []byte) *CannedReply {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch c.op {
	case "create":
		return v.create(r)
	case "complete":
		return v.complete(r, c.id)
	case "abort":
		return v.abort(c.id)
	case "parts":
		return v.listParts(r, c.id)
	case "uploads":
		return v.listUploads(r)
	case "job":
		return v.startJob(bytes.NewReader(body))
	case "jobs":
		return v.listJobs(r)
	default:
		return v.jobOutput(c.id)
	}
}
