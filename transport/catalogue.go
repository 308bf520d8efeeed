package transport

import (
	"context"
	"time"
)

// A Catalogue is a Destination that can also say what it holds. Uploading needs
// none of it: it serves the commands with which an operator looks at an archive.
// It is safe for concurrent use; each call but the lists is one attempt, and
// every failure is an *Error, save what fn returned.
type Catalogue interface {
	// Stat describes the finished object under key; nil if there is none. It
	// asks for less than Find.
	Stat(ctx context.Context, key string) (*Stored, error)

	// Objects calls fn with each finished object whose key begins with prefix, in
	// no particular order, until fn fails. It holds one page of them at a time.
	// What is stored or removed meanwhile may be seen or not.
	Objects(ctx context.Context, prefix string, fn func(Entry) error) error

	// Uploads calls fn with each unfinished upload whose key begins with prefix,
	// in no particular order, until fn fails. Denied means that the answer is not
	// to be had.
	Uploads(ctx context.Context, prefix string, fn func(u Upload, begun time.Time) error) error
}

// An Entry is one line of a list of objects. Its size is what the destination
// lists; Stat says more.
type Entry struct {
	Key  string
	Size int64 // bytes
}

// A Noter is a Destination that finds out things about its service which an
// operator should know. Notes are sentences; they are shown in status.
type Noter interface{ Notes() []string }

// A Describer is a Destination that keeps neither keys nor metadata, but a text
// made of them.
type Describer interface {
	// Describe returns what it keeps of o. It fails if that is too long.
	Describe(o Object) (Description, error)
}

// A Description is what a Describer keeps.
type Description struct {
	Vault string // where the object is kept
	Text  string // what is kept beside its bytes
}

// An Examiner is a Destination that knows its service's own words and rules.
// It serves trials, in which an operator has every action tried that a config
// will need.
type Examiner interface {
	// Lacks names the permission or feature for want of which a trial failed
	// with err, as whoever administers the service calls it
	// ("s3:AbortMultipartUpload"); empty if err tells nothing of the kind.
	Lacks(t Trial, err error) string

	// Spares says why this destination's config makes a trial pointless; empty
	// if it does not.
	Spares(t Trial) string

	// Examine tries what only this kind of destination has, on the object o, and
	// leaves nothing behind. stored: a trial has stored it.
	Examine(ctx context.Context, o Object, stored bool) []Finding

	// Remove deletes an object that a trial made. Nothing else ever may: it
	// refuses with Invalid a key that does not hold the element TrialFolder.
	Remove(ctx context.Context, key string) error
}

// TrialFolder is the element of a key that marks what trials make.
const TrialFolder = "dray-doctor"

// A Trial is one action that is tried.
type Trial string

// The trials that every destination goes through.
const (
	TrialCreate      Trial = "create"
	TrialPart        Trial = "part"
	TrialListParts   Trial = "list parts"
	TrialListUploads Trial = "list uploads"
	TrialComplete    Trial = "complete"
	TrialHead        Trial = "head"
	TrialAbsent      Trial = "head of nothing"
	TrialChecksum    Trial = "checksum"
	TrialCondition   Trial = "condition"
	TrialAbort       Trial = "abort"
	TrialPut         Trial = "put"
	TrialList        Trial = "list"
	TrialRemove      Trial = "remove"
)

// A Need says how much Dray depends on an action.
type Need string

// Needs, the greatest first.
const (
	Needed   Need = "needed"   // without it nothing is archived
	Wanted   Need = "wanted"   // without it Dray archives, and is the poorer
	Optional Need = "optional" // only commands of operators ask for it
)

// A Finding is what a trial showed. Its JSON names are a contract.
type Finding struct {
	Trial  Trial  `json:"trial"`
	Need   Need   `json:"need"`
	OK     bool   `json:"ok"`
	NotRun bool   `json:"not_run,omitempty"` // it needs one that failed, or does not apply; Detail says which
	Lacks  string `json:"lacks,omitempty"`   // the permission or feature that is missing, in the service's words
	Means  string `json:"means,omitempty"`   // what that means for Dray
	Detail string `json:"detail,omitempty"`  // what was seen
}
