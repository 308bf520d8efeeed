package transporttest

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Keys are credentials.
type Keys struct{ AccessKeyID, SecretAccessKey string }

// A signature is AWS Signature Version 4 as an Authorization header holds it.
// It is made here without the SDK, whose work it judges. See "Signature
// Calculations for the Authorization Header" in the S3 API reference.
type signature struct {
	accessKey, date, region, service string
	headers                          []string // signed, in lower case, sorted
	value                            string   // hexadecimal
}

const (
	sigAlgorithm = "AWS4-HMAC-SHA256"
	sigTime      = "20060102T150405Z"
)

// parseSignature reads the Authorization header of r.
func parseSignature(r *http.Request) (s signature, err error) {
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), sigAlgorithm+" ")
	if !ok {
		return s, errors.New("not signed with " + sigAlgorithm)
	}
	for field := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch name {
		case "Credential":
			scope := strings.Split(value, "/")
			if len(scope) != 5 || scope[4] != "aws4_request" {
				return s, fmt.Errorf("credential scope %q", value)
			}
			s.accessKey, s.date, s.region, s.service = scope[0], scope[1], scope[2], scope[3]
		case "SignedHeaders":
			s.headers = strings.Split(value, ";")
		case "Signature":
			s.value = value
		}
	}
	if s.accessKey == "" || s.value == "" || !slices.Contains(s.headers, "host") {
		return s, errors.New("the signature is not whole")
	}
	return s, nil
}

// right reports whether s is the signature of r with that secret. The body is
// covered by X-Amz-Content-Sha256 alone.
func (s *signature) right(r *http.Request, secret string) bool {
	return subtle.ConstantTimeCompare([]byte(s.value), []byte(s.of(r, secret))) == 1
}

// of calculates the signature of r.
func (s *signature) of(r *http.Request, secret string) string {
	path, query, _ := strings.Cut(r.RequestURI, "?")
	var b strings.Builder
	b.WriteString(r.Method + "\n" + path + "\n" + canonicalQuery(query) + "\n")
	for _, name := range s.headers {
		b.WriteString(name + ":" + signedValue(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(s.headers, ";") + "\n" + r.Header.Get("X-Amz-Content-Sha256"))
	request := sha256.Sum256([]byte(b.String()))
	scope := strings.Join([]string{s.date, s.region, s.service, "aws4_request"}, "/")
	text := strings.Join([]string{sigAlgorithm, r.Header.Get("X-Amz-Date"), scope, hex.EncodeToString(request[:])}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.date, s.region, s.service, "aws4_request", text} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hex.EncodeToString(key)
}

func signedValue(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	values := slices.Clone(r.Header.Values(name))
	for i, v := range values {
		values[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(values, ",")
}

// canonicalQuery sorts a query and gives every parameter its equals sign.
func canonicalQuery(query string) string {
	if query == "" {
		return ""
	}
	pairs := strings.Split(query, "&")
	for i, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		pairs[i] = escape(name) + "=" + escape(value)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// escape writes a query's word as signatures want it.
func escape(s string) string {
	plain, err := url.QueryUnescape(s)
	if err != nil {
		return s
	}
	return strings.ReplaceAll(url.QueryEscape(plain), "+", "%20")
}

// signAnew signs r, which was changed on its way, with the scope and the time
// that it had. The headers that are gone are left out.
func signAnew(r *http.Request, k Keys) error {
	s, err := parseSignature(r)
	if err != nil {
		return err
	}
	if s.accessKey != k.AccessKeyID {
		return nil // whoever signed this was to be refused
	}
	s.headers = slices.DeleteFunc(s.headers, func(name string) bool {
		return name != "host" && name != "content-length" && r.Header.Get(name) == ""
	})
	r.Header.Set("Authorization", fmt.Sprintf("%s Credential=%s/%s/%s/%s/aws4_request, SignedHeaders=%s, Signature=%s", sigAlgorithm,
		s.accessKey, s.date, s.region, s.service, strings.Join(s.headers, ";"), s.of(r, k.SecretAccessKey)))
	return nil
}

// signedAt is when r says that it was signed.
func signedAt(r *http.Request) (time.Time, error) {
	return time.Parse(sigTime, r.Header.Get("X-Amz-Date"))
}
