package transporttest

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Fault spoils the first request that it matches. At most one of the fields
// that say what to do may be set; if none is, the request passes unharmed.
type Fault struct {
	Method string // matches requests of this method; empty: any
	Query  string // matches requests with this query parameter, with or without a value; empty: any
	Op     string // matches this call: one of Ops; empty: any
	Part   int    // matches this part number; 0: any
	Times  int    // how many requests it spoils; 0: one

	CutUpload int64               // let so many bytes of the body through, then hang up on both sides
	Reset     int64               // the same, but with a TCP reset, so that nothing more is read on either side
	DropReply bool                // let the server do its work, then hang up without a reply
	CutReply  int64               // let so many bytes of the reply's body through, then hang up
	Stall     bool                // take the request, answer nothing, until the client hangs up
	StallFor  time.Duration       // the same, but hang up after so long
	Instead   *CannedReply        // answer this and do not ask the server
	After     *CannedReply        // let the server do its work, but answer this
	Redirect  bool                // answer 307 to another address, where the same server is
	Drip      int                 // send so many blanks, one a millisecond, between head and body of the reply
	Skew      time.Duration       // move the reply's Date by so much
	Twice     bool                // send the reply twice
	Refuse    time.Duration       // hang up, and refuse connections for so long
	BadTLS    bool                // hang up, and fail the next handshake; needs ProxyOptions.Cert
	Do        func(*http.Request) // call this just before the request passes

	name string // what to do, as scripts call it
}

// A CannedReply is what a portal, a load balancer or a failing server answers.
type CannedReply struct {
	Status int
	Header map[string]string
	Body   string
	Early  bool // answer before the request's body was read, and hang up

	code string // of an error as S3 has it
}

// Ops are the calls that a Fault and a script can name.
var Ops = []string{"any", "create", "part", "complete", "put", "abort", "head", "parts", "uploads"}

// A call is what a request asks of an S3 server or of a vault.
type call struct {
	op   string // one of Ops; empty: something else
	path string // bucket and key, as sent
	id   string // of the upload
	part int

	vault bool // it is one to a vault
}

func callOf(r *http.Request) call {
	if c, ok := vaultCall(r); ok {
		return c
	}
	q := r.URL.Query()
	c := call{path: r.URL.EscapedPath(), id: q.Get("uploadId")}
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		c.op = "create"
	case r.Method == http.MethodPost && c.id != "":
		c.op = "complete"
	case r.Method == http.MethodPut && c.id != "":
		c.op = "part"
		c.part, _ = strconv.Atoi(q.Get("partNumber")) // 0 is no part's number
	case r.Method == http.MethodPut:
		c.op = "put"
	case r.Method == http.MethodDelete && c.id != "":
		c.op = "abort"
	case r.Method == http.MethodHead:
		c.op = "head"
	case r.Method == http.MethodGet && c.id != "":
		c.op = "parts"
	case r.Method == http.MethodGet && q.Has("uploads"):
		c.op = "uploads"
	}
	return c
}

func (f *Fault) matches(r *http.Request, c call) bool {
	return (f.Method == "" || f.Method == r.Method) &&
		(f.Query == "" || r.URL.Query().Has(f.Query)) &&
		(f.Op == "" || f.Op == "any" || f.Op == c.op) &&
		(f.Part == 0 || f.Part == c.part)
}

// Kind names what the fault does, without its argument; empty if it was not
// made by a script.
func (f *Fault) Kind() string {
	kind, _, _ := strings.Cut(f.name, "=")
	return kind
}

// String returns the fault as a line of a script.
func (f *Fault) String() string {
	var b strings.Builder
	b.WriteString(f.Op)
	if f.Part > 0 {
		b.WriteString("#" + strconv.Itoa(f.Part))
	}
	b.WriteString(" " + f.name)
	if f.Times > 1 {
		b.WriteString(" *" + strconv.Itoa(f.Times))
	}
	return b.String()
}

// s3Error is an error as S3 servers write it.
func s3Error(status int, code string) *CannedReply {
	return &CannedReply{
		Status: status,
		code:   code,
		Header: map[string]string{"Content-Type": "application/xml"},
		Body:   `<?xml version="1.0" encoding="UTF-8"?>` + "\n<Error><Code>" + code + "</Code><Message>Made for a test.</Message></Error>",
	}
}
