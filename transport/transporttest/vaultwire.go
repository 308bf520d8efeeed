package transporttest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// vaultCall is what a request asks of a vault; ok is false if it is of none.
func vaultCall(r *http.Request) (c call, ok bool) {
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if len(path) < 4 || path[1] != "vaults" {
		return c, false
	}
	c.vault = true
	c.path = strings.Join(path[:3], "/")
	words := append([]string{r.Method}, path[3:]...)
	if len(words) > 2 {
		c.id, words[2] = words[2], "*"
	}
	c.op = map[string]string{
		"POST multipart-uploads": "create", "GET multipart-uploads": "uploads",
		"PUT multipart-uploads *": "part", "POST multipart-uploads *": "complete", "DELETE multipart-uploads *": "abort", "GET multipart-uploads *": "parts",
		"POST jobs": "job", "GET jobs": "jobs", "GET jobs * output": "output",
	}[strings.Join(words, " ")]
	return c, c.op != ""
}

// vaultCodes are what Glacier says where S3 has another word.
var vaultCodes = map[string]string{
	"AccessDenied": "AccessDeniedException", "InternalError": "ServiceUnavailableException", "NoSuchUpload": "ResourceNotFoundException",
	"RequestTimeTooSkewed": "InvalidSignatureException", "RequestTimeout": "RequestTimeoutException", "SlowDown": "ThrottlingException",
	"ExpiredToken": "ExpiredTokenException",
}

// as returns the error in the form that the server asked by c has.
func (r *CannedReply) as(c call) *CannedReply {
	if r == nil || r.code == "" || !c.vault {
		return r
	}
	said := vaultError(r.Status, cmp.Or(vaultCodes[r.code], r.code), "Made for a test of an upload.")
	if after := r.Header["Retry-After"]; after != "" {
		said.Header["Retry-After"] = after
	}
	return said
}

// vaultError is an error as Glacier writes it.
func vaultError(status int, code, format string, args ...any) *CannedReply {
	side := "Client"
	if status >= 500 {
		side = "Server"
	}
	return vaultReply(status, map[string]any{"code": code, "message": fmt.Sprintf(format, args...), "type": side})
}

func vaultReply(status int, body any) *CannedReply {
	b, _ := json.Marshal(body) // of strings and numbers
	return &CannedReply{Status: status, Header: map[string]string{"Content-Type": "application/json"}, Body: string(b)}
}

func wrongValue(format string, args ...any) *CannedReply {
	return vaultError(400, "InvalidParameterValueException", format, args...)
}

func missingValue(name string) *CannedReply {
	return vaultError(400, "MissingParameterValueException", "Required parameter missing: %s", name)
}

// admit checks what every request has to have; nil: it may come in.
func (v *Vault) admit(r *http.Request, c call, body []byte) *CannedReply {
	sig, err := parseSignature(r)
	at, timeErr := signedAt(r)
	age := time.Since(at)
	if r.Header.Get("X-Amz-Content-Sha256") == "" {
		if c.op == "part" { // it is signed without its hash, so the signature cannot be checked
			return vaultError(403, "InvalidSignatureException", "The request signature we calculated does not match the signature you provided.")
		}
		sum := sha256.Sum256(body)
		r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	}
	switch {
	case r.Header.Get("Authorization") == "":
		return vaultError(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
	case err != nil || timeErr != nil:
		return vaultError(400, "IncompleteSignatureException", "%v", errors.Join(err, timeErr))
	case sig.accessKey != v.Keys.AccessKeyID:
		return vaultError(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
	case age > 15*time.Minute || age < -15*time.Minute:
		return vaultError(403, "InvalidSignatureException", "Signature expired: %s is now earlier than %s", at.Format(sigTime), time.Now().UTC().Format(sigTime))
	case sig.region != v.Region || sig.service != "glacier":
		return vaultError(403, "InvalidSignatureException", "Credential should be scoped to a valid region, not '%s'.", sig.region)
	case !sig.right(r, v.Keys.SecretAccessKey):
		return vaultError(403, "InvalidSignatureException", "The request signature we calculated does not match the signature you provided.")
	}
	for name := range r.Header { // what is not signed may have been changed on the way
		n := strings.ToLower(name)
		if strings.HasPrefix(n, "x-amz-") && n != "x-amz-content-sha256" && !slices.Contains(sig.headers, n) {
			return vaultError(403, "InvalidSignatureException", "%s is not signed", n)
		}
	}
	account, name, _ := strings.Cut(c.path, "/vaults/")
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case r.Header.Get("X-Amz-Glacier-Version") != "2012-06-01":
		return missingValue("x-amz-glacier-version")
	case account != "-" && account != v.Account, slices.Contains(v.denied, c.op):
		return vaultError(403, "AccessDeniedException", "User: arn:aws:iam::%s:user/test is not authorized to perform: glacier on resource: %s", v.Account, v.arn())
	case name != v.Name:
		return vaultError(404, "ResourceNotFoundException", "Vault not found for ARN: arn:aws:glacier:%s:%s:vaults/%s", v.Region, v.Account, name)
	}
	v.requests = append(v.requests, c.op)
	v.expire()
	return nil
}
