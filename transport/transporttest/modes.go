package transporttest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Modes make a server into another, for as long as they are set: one that
// lacks what S3 has, or credentials that lack a permission. In a script:
//
//	ignore-condition  If-None-Match and If-Match are overlooked
//	no-condition      they are answered with 501
//	deny-head         403 to HEAD
//	deny-list         403 to lists of uploads and of parts
//	deny-abort        403 to aborts
//	again=WHAT        a Complete after the one that succeeded gets: gone (404
//	                  NoSuchUpload), error (500), taken (412), same (the first answer)
//	empty-etag        a Complete's answer has no ETag
//	no-checksums      answers hold no checksums
//	ignore-checksums  nor does the server look at those of requests
//	no-resend         501 to a part number that the upload holds
type Modes struct {
	IgnoreCondition, NoCondition  bool
	DenyHead, DenyList, DenyAbort bool
	Again                         string // as above; empty: as the server does
	EmptyETag                     bool
	NoChecksums, IgnoreChecksums  bool
	NoResend                      bool
}

// names are the modes that are on or off.
func (m *Modes) names() []struct {
	name string
	on   *bool
} {
	return []struct {
		name string
		on   *bool
	}{
		{"ignore-condition", &m.IgnoreCondition}, {"no-condition", &m.NoCondition},
		{"deny-head", &m.DenyHead}, {"deny-list", &m.DenyList}, {"deny-abort", &m.DenyAbort},
		{"empty-etag", &m.EmptyETag}, {"no-checksums", &m.NoChecksums}, {"ignore-checksums", &m.IgnoreChecksums},
		{"no-resend", &m.NoResend},
	}
}

// AgainAnswers are what Modes.Again can be.
var AgainAnswers = []string{"gone", "error", "taken", "same"}

func (m *Modes) parse(words []string) error {
word:
	for _, w := range words {
		if what, ok := strings.CutPrefix(w, "again="); ok && slices.Contains(AgainAnswers, what) {
			m.Again = what
			continue
		}
		for _, known := range m.names() {
			if known.name == w {
				*known.on = true
				continue word
			}
		}
		return fmt.Errorf("%q is no mode", w)
	}
	return nil
}

// String returns the modes as a script has them, without the word mode.
func (m Modes) String() string {
	var words []string
	for _, known := range m.names() {
		if *known.on {
			words = append(words, known.name)
		}
	}
	if m.Again != "" {
		words = append(words, "again="+m.Again)
	}
	return strings.Join(words, " ")
}

// signs reports whether a mode changes requests, which then need a signature.
func (m *Modes) signs() bool { return m.IgnoreCondition || m.IgnoreChecksums }

// refuse is what the modes answer in the server's place; nil: nothing.
func (m *Modes) refuse(r *http.Request, c call, s *seen) *CannedReply {
	denied := s3Error(http.StatusForbidden, "AccessDenied")
	switch {
	case m.DenyHead && c.op == "head":
		return &CannedReply{Status: http.StatusForbidden} // a HEAD has no body
	case m.DenyList && (c.op == "uploads" || c.op == "parts"):
		return denied
	case m.DenyAbort && c.op == "abort":
		return denied
	case m.NoCondition && (r.Header.Get("If-None-Match") != "" || r.Header.Get("If-Match") != ""):
		return s3Error(http.StatusNotImplemented, "NotImplemented")
	case m.NoResend && c.op == "part" && s.parts[partOf{c.id, c.part}] && !s.aborted[c.id]:
		return s3Error(http.StatusNotImplemented, "NotImplemented")
	}
	if first := s.done[c.id]; c.op == "complete" && first != nil {
		switch m.Again {
		case "gone":
			return s3Error(http.StatusNotFound, "NoSuchUpload")
		case "error":
			return s3Error(http.StatusInternalServerError, "InternalError")
		case "taken":
			return s3Error(http.StatusPreconditionFailed, "PreconditionFailed")
		case "same":
			return &CannedReply{Status: http.StatusOK, Header: map[string]string{"Content-Type": "application/xml"}, Body: string(first)}
		}
	}
	return nil
}

// seen is what the proxy remembers of the server's successes.
type seen struct {
	parts   map[partOf]bool
	done    map[string][]byte // what a Complete answered, by upload
	aborted map[string]bool   // uploads of which an abort, though it failed, may have taken parts
}

type partOf struct {
	id     string
	number int
}

// checksumTag is an element that holds a checksum or what kind it is of.
var (
	checksumTag = regexp.MustCompile(`<Checksum\w*>[^<]*</Checksum\w*>`)
	etagTag     = regexp.MustCompile(`<ETag>[^<]*</ETag>`)
)

// request takes out of a request what the server is to overlook. The body of a
// Complete is small, and changed as a whole.
func (m *Modes) request(r *http.Request, c call, k Keys) error {
	if !m.signs() {
		return nil
	}
	if m.IgnoreCondition {
		r.Header.Del("If-None-Match")
		r.Header.Del("If-Match")
	}
	if m.IgnoreChecksums {
		dropChecksums(r.Header)
	}
	if m.IgnoreChecksums && c.op == "complete" {
		b, err := io.ReadAll(io.LimitReader(r.Body, maxXML))
		if err != nil {
			return err
		}
		b = checksumTag.ReplaceAll(b, nil)
		sum := sha256.Sum256(b)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
		r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	}
	return signAnew(r, k)
}

// maxXML bounds the bodies that are read as a whole: a Complete of 10,000 parts
// has 3 MB.
const maxXML = 16 << 20

func dropChecksums(h http.Header) {
	for name := range h {
		if n := strings.ToLower(name); strings.HasPrefix(n, "x-amz-checksum-") || n == "x-amz-sdk-checksum-algorithm" || n == "x-amz-trailer" {
			h.Del(name)
		}
	}
}

// reply takes out of a reply what the server is not to say.
func (m *Modes) reply(resp *http.Response, c call) error {
	if m.NoChecksums || m.IgnoreChecksums {
		dropChecksums(resp.Header)
	}
	empty := m.EmptyETag && c.op == "complete"
	lists := c.op == "complete" || c.op == "parts" || c.op == "create"
	if !empty && !(lists && (m.NoChecksums || m.IgnoreChecksums)) {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxXML))
	if err != nil {
		return err
	}
	if m.NoChecksums || m.IgnoreChecksums {
		b = checksumTag.ReplaceAll(b, nil)
	}
	if empty {
		b = etagTag.ReplaceAll(b, nil)
	}
	setBody(resp, b)
	return nil
}

func setBody(resp *http.Response, b []byte) {
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	resp.TransferEncoding = nil
	resp.Header.Set("Content-Length", strconv.Itoa(len(b)))
}
