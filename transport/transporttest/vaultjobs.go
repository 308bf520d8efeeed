package transporttest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// A vaultJob is an inventory retrieval.
type vaultJob struct {
	id, description, format string
	begun                   time.Time
	made                    time.Time // of the inventory
	listed                  int       // archives in it
}

func (v *Vault) startJob(body io.Reader) *CannedReply {
	var in struct{ Type, Format, Description string }
	if err := json.NewDecoder(body).Decode(&in); err != nil {
		return vaultError(400, "SerializationException", "%v", err)
	}
	switch {
	case in.Type == "":
		return missingValue("Type")
	case in.Type != "inventory-retrieval" || in.Format != "JSON" && in.Format != "CSV":
		return wrongValue("Invalid job: %s %s", in.Type, in.Format)
	case v.made.IsZero():
		return vaultError(404, "ResourceNotFoundException", "No inventory has been generated yet for %s", v.arn())
	}
	j := &vaultJob{id: rand.Text() + rand.Text(), description: in.Description, format: in.Format, begun: v.now(), made: v.made, listed: v.listed}
	v.jobs = append(v.jobs, j)
	return &CannedReply{Status: 202, Header: map[string]string{
		"X-Amz-Job-Id": j.id, "Location": fmt.Sprintf("/%s/vaults/%s/jobs/%s", v.Account, v.Name, j.id),
	}}
}

// state says how far a job has come, and since when it is done.
func (v *Vault) state(j *vaultJob) (code string, done any) {
	if v.now().Sub(j.begun) < v.o.JobTakes {
		return "InProgress", nil
	}
	return "Succeeded", stamp(j.begun.Add(v.o.JobTakes))
}

func (v *Vault) listJobs(r *http.Request) *CannedReply {
	var kept []*vaultJob
	for _, j := range v.jobs { // a job is known for a day after its end
		if v.now().Sub(j.begun) < v.o.JobTakes+24*time.Hour {
			kept = append(kept, j)
		}
	}
	v.jobs = kept
	from, to, next, refusal := v.page(r, len(kept))
	if refusal != nil {
		return refusal
	}
	list := []map[string]any{}
	for _, j := range kept[from:to] {
		code, done := v.state(j)
		list = append(list, map[string]any{
			"Action": "InventoryRetrieval", "JobId": j.id, "JobDescription": j.description, "CreationDate": stamp(j.begun),
			"Completed": done != nil, "CompletionDate": done, "StatusCode": code, "StatusMessage": code, "VaultARN": v.arn(),
		})
	}
	return vaultReply(200, map[string]any{"JobList": list, "Marker": next})
}

func (v *Vault) jobOutput(id string) *CannedReply {
	for _, j := range v.jobs {
		if j.id != id {
			continue
		}
		if code, _ := v.state(j); code != "Succeeded" {
			return wrongValue("The job is not currently available for download: %s", id)
		}
		archives := []map[string]any{}
		for _, a := range v.archives[:j.listed] {
			archives = append(archives, map[string]any{
				"ArchiveId": a.ID, "ArchiveDescription": a.Description, "CreationDate": stamp(a.Created), "Size": a.Size, "SHA256TreeHash": a.TreeHash,
			})
		}
		return vaultReply(200, map[string]any{"VaultARN": v.arn(), "InventoryDate": stamp(j.made), "ArchiveList": archives})
	}
	return vaultError(404, "ResourceNotFoundException", "The job ID was not found: %s", id)
}
