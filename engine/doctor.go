package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"path"
	"time"

	"github.com/seed-7270d448/dray/transport"
)

// trial is what is known of a trial before it is made.
type trial struct {
	name  transport.Trial
	need  transport.Need
	means string // for Dray, if it fails
}

// trials, in the order in which they are made.
var trials = []trial{
	{transport.TrialCreate, transport.Needed, "objects of more than one part cannot be archived"},
	{transport.TrialPart, transport.Needed, "objects of more than one part cannot be archived"},
	{transport.TrialListParts, transport.Wanted, "if the service loses a part, Dray cannot find out which, and the object waits"},
	{transport.TrialListUploads, transport.Wanted, "an upload whose first reply was lost stays behind and costs storage until the bucket's rules end it; dray uploads cannot list any"},
	{transport.TrialComplete, transport.Needed, "objects of more than one part cannot be archived"},
	{transport.TrialHead, transport.Wanted, "Dray cannot look whether an object was made when a reply was lost: a key that is taken is believed to be its own; dray verify and dray audit cannot work"},
	{transport.TrialAbsent, transport.Wanted, "that there is no object looks like a refusal, so a lost reply is settled later, by sending again; dray verify cannot tell absent from denied"},
	{transport.TrialChecksum, transport.Wanted, "the service does not say what bytes it holds: receipts go by size and identity alone"},
	{transport.TrialCondition, transport.Wanted, "nothing but Dray's own keys keeps an object from being replaced"},
	{transport.TrialAbort, transport.Wanted, "an upload that was given up stays behind and costs storage until the bucket's rules end it"},
	{transport.TrialPut, transport.Needed, "objects that fit into one request cannot be archived"},
	{transport.TrialList, transport.Optional, "dray audit cannot work from here; uploading does not need it"},
	{transport.TrialRemove, transport.Optional, "what this trial made stays; uploading never removes anything"},
}

// Diagnosis is what came of a doctor's trials. Its JSON names are a contract.
type Diagnosis struct {
	Destination string              `json:"destination"`
	Findings    []transport.Finding `json:"findings"`
	// Left names what could not be removed: at most one object of a few bytes
	// and one upload.
	Left []string `json:"left,omitempty"`
}

// Err returns nil if all that Dray needs was granted.
func (d Diagnosis) Err() error {
	failed := 0
	for _, f := range d.Findings {
		if f.Need == transport.Needed && !f.OK && !f.NotRun {
			failed++
		}
	}
	if failed == 0 {
		return nil
	}
	return fmt.Errorf("destination %s: %d of the actions that Dray needs failed", d.Destination, failed)
}

// Diagnose tries at a destination, once, every action that uploading will ever
// need there, with objects of a few bytes under a key below folder that nobody
// else makes. It removes what it made if the destination lets it, which Dray
// itself never asks for. Cancelling ctx ends the trials; cleaning up goes on
// without it.
func Diagnose(ctx context.Context, d Destination, device, folder string) (Diagnosis, error) {
	key := folder + "/" + transport.TrialFolder + "/" + keyDevice(device) + "/" + rand.Text()
	if folder == "" {
		key = key[1:]
	}
	if err := transport.CheckKey(key); err != nil {
		return Diagnosis{}, fmt.Errorf("doctor: %w", err)
	}
	p := &patient{Diagnosis: Diagnosis{Destination: d.Name}, to: d.To, ctx: ctx, key: key}
	p.expert, _ = d.To.(transport.Examiner)
	p.catalogue, _ = d.To.(transport.Catalogue)
	p.examine()
	return p.Diagnosis, nil
}

// tidyTime bounds what cleaning up may take once the trials were cancelled.
const tidyTime = 30 * time.Second

// patient is a destination under examination.
type patient struct {
	Diagnosis
	to        transport.Destination
	expert    transport.Examiner
	catalogue transport.Catalogue
	ctx       context.Context // of this one examination
	key       string
	made      bool   // there may be an object
	lost      bool   // there may be an upload whose ID is not known
	answered  bool   // a trial was answered, whatever the answer
	vain      string // why the trials that are left would only wait or be refused in vain
}

// The bodies of the trials; they differ in every way that tells objects apart.
var (
	firstBody = []byte("dray doctor: this object may be removed.\n")
	otherBody = []byte("dray doctor: this must never replace the first.\n")
)

func (p *patient) examine() {
	first := p.upload(firstBody, "1")
	begun := p.try(transport.TrialCreate, "", func(ctx context.Context) (err error) {
		err = p.create(ctx, &first)
		if transport.KindOf(err) == transport.Denied && !unseen(err) {
			// From the first refusal for a wrong clock the server's time is known.
			err = p.create(ctx, &first)
		}
		return err
	})
	var receipt transport.PartReceipt
	sent := p.try(transport.TrialPart, unless(begun, transport.TrialCreate), func(ctx context.Context) (err error) {
		receipt, err = p.part(ctx, first, firstBody)
		return err
	})
	p.try(transport.TrialListParts, unless(sent, transport.TrialPart), func(ctx context.Context) error {
		parts, err := p.to.Parts(ctx, first)
		if err == nil && (len(parts) != 1 || parts[0].Size != first.Object.Size) {
			err = fmt.Errorf("one part of %d bytes was sent, the list has %d parts", first.Object.Size, len(parts))
		}
		return err
	})
	p.listUploads(begun, first)
	complete := p.try(transport.TrialComplete, unless(sent, transport.TrialPart), func(ctx context.Context) error {
		_, err := p.to.Complete(ctx, first, []transport.PartReceipt{receipt})
		p.made = err == nil || unseen(err)
		return err
	})
	if begun && !complete {
		p.end(first)
	}
	p.look(complete, first.Object)
	p.conditions(begun, complete)
	if p.expert != nil && p.vain == "" {
		p.Findings = append(p.Findings, p.expert.Examine(p.ctx, first.Object, complete)...)
	}
	p.list()
	p.cleanUp()
}

// create begins an upload.
func (p *patient) create(ctx context.Context, u *transport.Upload) (err error) {
	u.ID, err = p.to.Create(ctx, growing(u.Object))
	p.lost = p.lost || unseen(err)
	return err
}

// unseen reports whether a call that failed may have taken effect.
func unseen(err error) bool {
	var e *transport.Error
	return errors.As(err, &e) && e.Unknown
}

func unless(ok bool, needs transport.Trial) string {
	if ok {
		return ""
	}
	return "not tried, because it needs " + string(needs)
}

func (p *patient) upload(body []byte, name string) transport.Upload {
	o := transport.Object{
		Key: p.key, Size: int64(len(body)), CRC32C: crc32.Checksum(body, transport.Castagnoli),
		Hash:     p.to.Limits().Hash,
		Metadata: map[string]string{"dray-doctor": name},
	}
	o.Sum = p.digest(o.Hash, body)
	return transport.Upload{Object: o, PartSize: max(p.to.Limits().MinPart, o.Size)}
}

func (p *patient) digest(name string, body []byte) []byte {
	l := p.to.Limits()
	if name == "" || l.NewHash == nil {
		return nil
	}
	h := l.NewHash(name)
	if h == nil {
		return nil
	}
	h.Write(body)
	return h.Sum(nil)
}

func growing(o transport.Object) transport.Object {
	o.Size, o.CRC32C, o.Sum = -1, 0, nil
	return o
}

func (p *patient) part(ctx context.Context, u transport.Upload, body []byte) (transport.PartReceipt, error) {
	part := transport.Part{Number: 1, Size: u.Object.Size, CRC32C: u.Object.CRC32C, Sum: u.Object.Sum}
	return p.to.UploadPart(ctx, u, part, bytesBody{bytes.NewReader(body)})
}

type bytesBody struct{ *bytes.Reader }

// try makes a trial, unless there is a reason why not, and notes what it showed.
func (p *patient) try(name transport.Trial, whyNot string, do func(context.Context) error) bool {
	if p.expert != nil && whyNot == "" {
		whyNot = p.expert.Spares(name)
	}
	if p.vain != "" && whyNot == "" {
		whyNot = p.vain
	}
	if whyNot != "" {
		f := p.finding(name)
		f.NotRun, f.Detail = true, whyNot
		p.Findings = append(p.Findings, f)
		return false
	}
	err := do(p.ctx)
	p.note(name, err)
	return err == nil
}

func (p *patient) finding(name transport.Trial) transport.Finding {
	for _, t := range trials {
		if t.name == name {
			return transport.Finding{Trial: name, Need: t.need, Means: t.means}
		}
	}
	return transport.Finding{Trial: name}
}

func (p *patient) note(name transport.Trial, err error) {
	p.answered = p.answered || transport.KindOf(err) != transport.Offline
	var e *transport.Error
	switch {
	case !p.answered:
		p.vain = "not tried, because the destination could not be reached"
	case withoutKeys(err):
		p.vain = "not tried, because there are no credentials"
	case errors.As(err, &e) && e.Caller:
		p.vain = "not tried, because " + string(name) + " showed that nothing would be let in"
	}
	f := p.finding(name)
	if err == nil {
		f.OK, f.Means = true, ""
	} else {
		f.Detail = err.Error()
		if p.expert != nil {
			f.Lacks = p.expert.Lacks(name, err)
		}
	}
	p.Findings = append(p.Findings, f)
}

// withoutKeys reports whether nothing was sent for want of credentials. Each
// further trial would ask for them anew, and may wait long for the answer.
func withoutKeys(err error) bool {
	for e := (*transport.Error)(nil); errors.As(err, &e); err = e.Err {
		if e.Op == "credentials" {
			return true
		}
	}
	return false
}

func (p *patient) listUploads(begun bool, first transport.Upload) {
	p.try(transport.TrialListUploads, unless(begun, transport.TrialCreate), func(ctx context.Context) error {
		uploads, _, err := p.to.Find(ctx, p.key)
		for _, u := range uploads {
			if u.ID == first.ID {
				return nil // the object itself is asked for later
			}
		}
		if err == nil {
			err = errors.New("an upload was begun, and the list lacks it")
		}
		return err
	})
}

// look asks for the object, for one that is not there, and for what was
// confirmed of the bytes.
func (p *patient) look(complete bool, o transport.Object) {
	stat := func(ctx context.Context, key string) (*transport.Stored, error) {
		if p.catalogue != nil {
			return p.catalogue.Stat(ctx, key)
		}
		_, stored, err := p.to.Find(ctx, key)
		if stored != nil {
			err = nil
		}
		return stored, err
	}
	var stored *transport.Stored
	found := p.try(transport.TrialHead, unless(complete, transport.TrialComplete), func(ctx context.Context) (err error) {
		stored, err = stat(ctx, p.key)
		switch {
		case err != nil:
			return err
		case stored == nil:
			return errors.New("the object was made, and is not there")
		case !stored.IsObject(o):
			return fmt.Errorf("it is not as it was sent: %d bytes with metadata %q", stored.Size, stored.Metadata)
		}
		return nil
	})
	p.try(transport.TrialAbsent, unless(found || !complete, transport.TrialHead), func(ctx context.Context) error {
		other, err := stat(ctx, p.key+"-absent")
		if err == nil && other != nil {
			err = errors.New("an object was found that nobody made")
		}
		return err
	})
	p.try(transport.TrialChecksum, unless(found, transport.TrialHead), func(context.Context) error {
		if stored.Checksum == "" {
			return errors.New("the object has none")
		}
		return nil
	})
}

// conditions has other bytes sent to the key that is taken, in both ways: that
// must be refused, and shows at once that sending is allowed. So the trial of
// put leaves nothing. The upload is aborted, which is a trial of its own.
func (p *patient) conditions(begun, complete bool) {
	other := p.upload(otherBody, "2")
	whole := p.to.Limits().MaxPut >= other.Object.Size
	var kept error // what a refusal should have been
	if whole {
		p.try(transport.TrialPut, "", func(ctx context.Context) error {
			receipt, err := p.to.Put(ctx, other.Object, bytesBody{bytes.NewReader(otherBody)})
			p.made = p.made || err == nil || unseen(err)
			switch {
			case transport.KindOf(err) == transport.Conflict && complete, err == nil && receipt.InDoubt != "":
				return nil
			case err == nil && complete:
				kept = errors.New("an object was replaced by other bytes in one request")
			}
			return err
		})
	}
	started := begun && p.create(p.ctx, &other) == nil
	p.try(transport.TrialCondition, unless(complete && started, transport.TrialComplete), func(ctx context.Context) error {
		part, err := p.part(ctx, other, otherBody)
		if err != nil {
			return err
		}
		receipt, err := p.to.Complete(ctx, other, []transport.PartReceipt{part})
		switch {
		case transport.KindOf(err) == transport.Conflict, err == nil && receipt.InDoubt != "":
			return kept
		case err == nil:
			started = false
			return errors.Join(kept, errors.New("an object was replaced by an upload of other bytes"))
		}
		return err
	})
	if !started && begun {
		started = p.create(p.ctx, &other) == nil
	}
	if !p.try(transport.TrialAbort, unless(started, transport.TrialCreate), func(ctx context.Context) error { return p.to.Abort(ctx, other) }) && started {
		p.Left = append(p.Left, "the unfinished upload "+other.ID+" of "+p.key)
	}
}

func (p *patient) list() {
	if p.catalogue == nil {
		return
	}
	p.try(transport.TrialList, "", func(ctx context.Context) error {
		// A whole folder: directory buckets list nothing less.
		return p.catalogue.Objects(ctx, path.Dir(p.key)+"/", func(transport.Entry) error { return nil })
	})
}

// end aborts an upload that a trial began; ctx may be over by then.
func (p *patient) end(u transport.Upload) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), tidyTime)
	defer cancel()
	if err := p.to.Abort(ctx, u); err != nil && transport.KindOf(err) != transport.Gone {
		p.Left = append(p.Left, "the unfinished upload "+u.ID+" of "+u.Object.Key)
	}
}

// cleanUp ends the uploads whose making was not seen, and removes the object.
func (p *patient) cleanUp() {
	if !p.lost && !p.made {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), tidyTime)
	defer cancel()
	p.ctx = ctx
	if p.lost {
		uploads, _, err := p.to.Find(ctx, p.key)
		for _, u := range uploads {
			p.end(u)
		}
		if err != nil {
			p.Left = append(p.Left, "perhaps an unfinished upload of "+p.key+", which could not be looked for: "+err.Error())
		}
	}
	if !p.made {
		return
	}
	removed := p.expert != nil && p.try(transport.TrialRemove, "", func(ctx context.Context) error { return p.expert.Remove(ctx, p.key) })
	if !removed {
		p.Left = append(p.Left, fmt.Sprintf("the object %s of %d bytes", p.key, len(firstBody)))
	}
}
