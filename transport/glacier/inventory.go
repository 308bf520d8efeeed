package glacier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glacier"
	"github.com/aws/aws-sdk-go-v2/service/glacier/types"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
)

// A Job is Glacier's work on an inventory of the vault, which takes hours. What
// came of it can be fetched for a day.
type Job struct {
	ID    string    `json:"job_id"`
	State string    `json:"state"` // "InProgress", "Succeeded" or "Failed"
	Why   string    `json:"why,omitempty"`
	Begun time.Time `json:"begun,omitzero"`
	Ended time.Time `json:"ended,omitzero"`
}

// Jobs returns the inventory jobs that Dray began on the vault, newest first.
func (d *Destination) Jobs(ctx context.Context) ([]Job, error) {
	const op = "list jobs"
	in := &glacier.ListJobsInput{AccountId: &d.account, VaultName: &d.vault}
	var jobs []Job
	for range maxPages {
		out, err := d.client.ListJobs(ctx, in)
		switch {
		case err != nil:
			return nil, d.asked(op, "", err)
		case out.JobList == nil:
			return nil, &transport.Error{Op: op, Err: errOtherList}
		}
		for _, j := range out.JobList {
			if j.Action == types.ActionCodeInventoryRetrieval && aws.ToString(j.JobDescription) == jobDescription {
				jobs = append(jobs, Job{
					ID: aws.ToString(j.JobId), State: string(j.StatusCode), Why: link.Plain(aws.ToString(j.StatusMessage), 300),
					Begun: when(aws.ToString(j.CreationDate)), Ended: when(aws.ToString(j.CompletionDate)),
				})
			}
		}
		next := aws.ToString(out.Marker)
		if next == "" {
			sort.SliceStable(jobs, func(i, j int) bool { return jobs[i].Begun.After(jobs[j].Begun) })
			return jobs, nil
		}
		if next == aws.ToString(in.Marker) {
			break
		}
		in.Marker = &next
	}
	return nil, &transport.Error{Op: op, Err: errEndless}
}

// jobDescription tells Dray's jobs from others, whose output may be in another form.
const jobDescription = "dray glacier inventory"

// StartJob begins an inventory job. Glacier refuses it for a vault of which it
// has not made an inventory yet, which it does about once a day.
func (d *Destination) StartJob(ctx context.Context) (Job, error) {
	const op = "start job"
	out, err := d.client.InitiateJob(ctx, &glacier.InitiateJobInput{
		AccountId: &d.account,
		VaultName: &d.vault,
		JobParameters: &types.JobParameters{
			Type:        aws.String("inventory-retrieval"),
			Format:      aws.String("JSON"),
			Description: aws.String(jobDescription),
		},
	})
	if err != nil {
		e := d.fail(op, "", err)
		if e.Kind == transport.Gone {
			e.Err = fmt.Errorf("%w; Glacier has made no inventory of the vault yet, which takes a day from the first archive on", e.Err)
		}
		return Job{}, e
	}
	id := aws.ToString(out.JobId)
	if id == "" {
		return Job{}, &transport.Error{Op: op, Unknown: true, Err: errors.New("success without a job ID: " + notTheService)}
	}
	return Job{ID: id, State: string(types.StatusCodeInProgress), Begun: time.Now().UTC()}, nil
}

// ReadJob copies to w what a job that succeeded came to: the inventory, as
// ReadInventory reads it.
func (d *Destination) ReadJob(ctx context.Context, id string, w io.Writer) error {
	const op = "read job"
	out, err := d.client.GetJobOutput(ctx, &glacier.GetJobOutputInput{AccountId: &d.account, VaultName: &d.vault, JobId: &id})
	if err != nil {
		return d.asked(op, "", err)
	}
	_, err = io.Copy(w, out.Body)
	if err = errors.Join(err, out.Body.Close()); err != nil {
		return &transport.Error{Op: op, Kind: transport.Offline, Err: err}
	}
	return nil
}

// An Archive is one line of an inventory.
type Archive struct {
	ID          string
	Description string
	Size        int64
	Checksum    string // as in receipts
	Created     time.Time
}

// Object returns the key and the metadata that the archive's description tells,
// false if Dray did not make it.
func (a Archive) Object() (key string, s transport.Stored, ours bool) {
	o, err := parseDescription(a.Description)
	return o.Key, transport.Stored{Size: a.Size, Checksum: a.Checksum, Metadata: o.Metadata}, err == nil
}

// An Inventory says of which vault a list of archives is, and of when.
type Inventory struct {
	Vault string
	Made  time.Time
}

// ReadInventory calls fn with each archive of an inventory in JSON, until fn
// fails. It holds one archive at a time.
func ReadInventory(r io.Reader, fn func(Archive) error) (is Inventory, err error) {
	dec := json.NewDecoder(r)
	fail := func(err error) (Inventory, error) {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return is, fmt.Errorf("inventory, byte %d: %w; it must be the JSON that an inventory job of Glacier gives", dec.InputOffset(), err)
	}
	if err := expect(dec, json.Delim('{')); err != nil {
		return fail(err)
	}
	listed := false
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return fail(err)
		}
		switch name {
		case "InventoryDate":
			var date string
			if err := dec.Decode(&date); err != nil {
				return fail(err)
			}
			is.Made = when(date)
		case "VaultARN": // arn:aws:glacier:REGION:ACCOUNT:vaults/NAME
			var arn string
			if err := dec.Decode(&arn); err != nil {
				return fail(err)
			}
			is.Vault = arn[strings.LastIndexByte(arn, '/')+1:]
		case "ArchiveList":
			listed = true
			if err := expect(dec, json.Delim('[')); err != nil {
				return fail(err)
			}
			for dec.More() {
				var line struct {
					ArchiveID          string `json:"ArchiveId"`
					ArchiveDescription string
					CreationDate       string
					Size               int64
					SHA256TreeHash     string
				}
				if err := dec.Decode(&line); err != nil {
					return fail(err)
				}
				a := Archive{ID: line.ArchiveID, Description: line.ArchiveDescription, Size: line.Size, Checksum: checksumPrefix + line.SHA256TreeHash, Created: when(line.CreationDate)}
				if err := fn(a); err != nil {
					return is, err
				}
			}
			if err := expect(dec, json.Delim(']')); err != nil {
				return fail(err)
			}
		default:
			var other json.RawMessage
			if err := dec.Decode(&other); err != nil {
				return fail(err)
			}
		}
	}
	if err := expect(dec, json.Delim('}')); err != nil {
		return fail(err)
	}
	if !listed {
		return fail(errors.New("it has no ArchiveList"))
	}
	return is, nil
}

func expect(dec *json.Decoder, want json.Delim) error {
	got, err := dec.Token()
	if err == nil && got != want {
		err = fmt.Errorf("%v where %v should be", got, want)
	}
	return err
}

// when reads a time of the service, the zero time if it makes no sense.
func when(s string) time.Time {
	t, _ := time.Parse(time.RFC3339, s)
	return t
}
