package transporttest

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// list lists the parts of an upload, in pages of at most size.
func (u *simUpload) list(r *http.Request, id string, size int) *CannedReply {
	after := r.URL.Query().Get("part-number-marker")
	marker, _ := strconv.Atoi(cmp.Or(after, "0")) // anything else begins at the beginning
	if n, err := strconv.Atoi(r.URL.Query().Get("max-parts")); err == nil && n > 0 {
		size = min(size, n)
	}
	var b bytes.Buffer
	truncated, last := false, 0
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		if n <= marker {
			continue
		}
		if size--; size < 0 {
			truncated = true
			break
		}
		p, tag := u.parts[n], strings.ToUpper(u.form.checksum)
		fmt.Fprintf(&b, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag><Size>%d</Size>", n, text(p.etag), len(p.body))
		if tag != "" {
			fmt.Fprintf(&b, "<Checksum%s>%s</Checksum%s>", tag, p.sum, tag)
		}
		b.WriteString("</Part>")
		last = n
	}
	return xmlReply(200, fmt.Sprintf("<ListPartsResult><Key>%s</Key><UploadId>%s</UploadId><IsTruncated>%t</IsTruncated><NextPartNumberMarker>%d</NextPartNumberMarker>%s</ListPartsResult>",
		text(u.form.key), id, truncated, last, b.String()))
}

// listUploads lists unfinished uploads. A directory bucket takes the marker that
// it gave, which is no key, and no other beside it.
func (s *Simulator) listUploads(r *http.Request) *CannedReply {
	q := r.URL.Query()
	if s.directory() && q.Has("upload-id-marker") {
		return s3Error(400, "InvalidRequest")
	}
	found := map[string]string{} // IDs, by what they sort by
	for id, u := range s.uploads {
		found[u.form.key+"\x00"+id] = id
	}
	after := q.Get("key-marker")
	if !s.directory() && after != "" {
		after += "\x00" + cmp.Or(q.Get("upload-id-marker"), "\xff")
	}
	return s.list(r, "ListMultipartUploadsResult", slices.Sorted(maps.Keys(found)), after, func(b *bytes.Buffer, name string) {
		id := found[name]
		fmt.Fprintf(b, "<Upload><Key>%s</Key><UploadId>%s</UploadId><Initiated>2026-11-05T10:00:00Z</Initiated></Upload>", s.listed(q, s.uploads[id].form.key), id)
	}, func(b *bytes.Buffer, last, opaque string) {
		if s.directory() {
			fmt.Fprintf(b, "<NextKeyMarker>%s</NextKeyMarker>", opaque)
			return
		}
		key, id, _ := strings.Cut(last, "\x00")
		fmt.Fprintf(b, "<NextKeyMarker>%s</NextKeyMarker><NextUploadIdMarker>%s</NextUploadIdMarker>", s.listed(q, key), id)
	})
}

// listObjects lists objects.
func (s *Simulator) listObjects(r *http.Request) *CannedReply {
	q := r.URL.Query()
	if q.Get("list-type") != "2" {
		return s3Error(501, "NotImplemented")
	}
	return s.list(r, "ListBucketResult", slices.Sorted(maps.Keys(s.objects)), q.Get("continuation-token"), func(b *bytes.Buffer, key string) {
		fmt.Fprintf(b, "<Contents><Key>%s</Key><Size>%d</Size></Contents>", s.listed(q, key), len(s.objects[key].body))
	}, func(b *bytes.Buffer, _, opaque string) {
		fmt.Fprintf(b, "<NextContinuationToken>%s</NextContinuationToken>", opaque)
	})
}

// list writes a page of what begins with the prefix asked for: an entry each,
// and what the next page is asked for with.
func (s *Simulator) list(r *http.Request, element string, names []string, after string, entry func(b *bytes.Buffer, name string), next func(b *bytes.Buffer, last, opaque string)) *CannedReply {
	q := r.URL.Query()
	prefix := q.Get("prefix")
	if s.directory() && prefix != "" && !strings.HasSuffix(prefix, "/") {
		return s3Error(400, "InvalidArgument")
	}
	const opaque = "opaque-"
	if n, ok := strings.CutPrefix(after, opaque); ok {
		if i, err := strconv.Atoi(n); err == nil && i < len(names) {
			after = names[i]
		}
	}
	var b bytes.Buffer
	truncated, left := false, s.page
	for i, name := range names {
		if !strings.HasPrefix(name, prefix) || name <= after {
			continue
		}
		entry(&b, name)
		if left--; left == 0 {
			if truncated = i < len(names)-1; truncated {
				next(&b, name, opaque+strconv.Itoa(i))
			}
			break
		}
	}
	encoding := ""
	if q.Get("encoding-type") == "url" {
		encoding = "<EncodingType>url</EncodingType>"
	}
	return xmlReply(200, fmt.Sprintf("<%s><Bucket>%s</Bucket><Name>%s</Name>%s<IsTruncated>%t</IsTruncated>%s</%s>", element, s.Bucket, s.Bucket, encoding, truncated, b.String(), element))
}

// listed is a key as a list has it.
func (*Simulator) listed(q url.Values, key string) string {
	if q.Get("encoding-type") == "url" {
		return url.QueryEscape(key)
	}
	return text(key)
}
