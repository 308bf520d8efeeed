package creds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
)

// MaxIoTReply is how long a reply of the IoT credentials provider may be, in
// bytes; give it to the link as its MaxReply.
const MaxIoTReply = 64 << 10

// iotTimeout is for one attempt, from dialling to the end of the reply.
const iotTimeout = 2 * time.Minute

// IoTConfig says how to get keys from AWS IoT Core.
type IoTConfig struct {
	// Endpoint is host[:port] of the account's credentials provider, as
	// "aws iot describe-endpoint --endpoint-type iot:CredentialProvider" prints it.
	Endpoint  string
	RoleAlias string
	ThingName string // optional; policies may refer to it
	// HTTP is the wire. It holds the device's certificate and key.
	HTTP *link.Transport
}

// IoT is the credentials provider of AWS IoT Core: a device that shows its X.509
// certificate gets keys of the role behind a role alias, good for up to twelve
// hours. The request and reply are those of "Authorizing direct calls to AWS
// services using AWS IoT Core credential provider" in the AWS IoT developer guide.
type IoT struct {
	name string // for people
	url  string
	c    IoTConfig
}

var (
	aliasForm = regexp.MustCompile(`^[\w=,@-]{1,128}$`)
	thingForm = regexp.MustCompile(`^[a-zA-Z0-9:_-]{1,128}$`)
	hostForm  = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?$`)
)

// Check says what is wrong with c, and under which key of a config file. It
// looks at no wire.
func (c IoTConfig) Check() (key string, err error) {
	switch {
	case !hostForm.MatchString(c.Endpoint) || len(c.Endpoint) > 260:
		return "endpoint", errors.New("is not a host name; write what aws iot describe-endpoint --endpoint-type iot:CredentialProvider prints")
	case !aliasForm.MatchString(c.RoleAlias):
		return "role_alias", errors.New("is not the name of a role alias: letters, digits and _ = , @ -, at most 128")
	case c.ThingName != "" && !thingForm.MatchString(c.ThingName):
		return "thing_name", errors.New("is not the name of a thing: letters, digits and : _ -, at most 128")
	}
	return "", nil
}

// NewIoT checks c. It connects to nothing.
func NewIoT(c IoTConfig) (*IoT, error) {
	if key, err := c.Check(); err != nil {
		return nil, fmt.Errorf("iot credentials: %s %w", key, err)
	}
	if c.HTTP == nil {
		return nil, errors.New("iot credentials: no wire with a client certificate is given")
	}
	host := c.Endpoint
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return &IoT{
		name: fmt.Sprintf("role alias %s at %s", c.RoleAlias, host),
		url:  "https://" + c.Endpoint + "/role-aliases/" + url.PathEscape(c.RoleAlias) + "/credentials",
		c:    c,
	}, nil
}

// String names the role alias and the host.
func (i *IoT) String() string { return i.name }

// Issue makes one request.
func (i *IoT) Issue(ctx context.Context) (Keys, error) {
	ctx, cancel := context.WithTimeout(ctx, iotTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.url, nil)
	if err != nil {
		return Keys{}, fail(transport.Denied, "%s: %w", i, err)
	}
	if i.c.ThingName != "" {
		req.Header.Set("x-amzn-iot-thingname", i.c.ThingName)
	}
	resp, err := i.c.HTTP.RoundTrip(req)
	if err != nil {
		return Keys{}, i.unreached(err)
	}
	text, err := io.ReadAll(resp.Body)
	// The wire ends a reply that is too long with an error, and nothing is lost
	// with a body that has been read.
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return Keys{}, i.unreached(err)
	}
	if resp.StatusCode != http.StatusOK {
		return Keys{}, i.refused(resp, text)
	}
	now, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	keys, err := parseIoT(text, now)
	if err != nil {
		return Keys{}, fail(transport.Temporary, "%s: %w", i, err)
	}
	return keys, nil
}

// unreached says what it means that there was no reply.
func (i *IoT) unreached(err error) error {
	if hint, denied := link.Denied(err); denied {
		return fail(transport.Denied, "%s: %w; %s", i, err, hint)
	}
	return fail(transport.Offline, "%s: %w", i, err)
}

// refused says what a reply other than 200 means.
func (i *IoT) refused(resp *http.Response, text []byte) error {
	kind, hint := transport.Temporary, ""
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		kind, hint = transport.Denied, "; check that the certificate is active and its policy allows iot:AssumeRoleWithCertificate on the role alias"
	case http.StatusBadRequest, http.StatusNotFound:
		kind, hint = transport.Denied, "; check endpoint, role_alias and thing_name"
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		kind = transport.Throttled
	}
	var reply struct {
		Message string `json:"message"`
	}
	said := ""
	if json.Unmarshal(text, &reply) == nil && reply.Message != "" {
		said = ": " + legible(reply.Message, 200)
	}
	e := fail(kind, "%s: status %d%s%s", i, resp.StatusCode, said, hint)
	if s, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 32); err == nil {
		e.RetryAfter = min(time.Duration(s)*time.Second, time.Hour)
	}
	return e
}

// parseIoT reads a reply of status 200. Its errors repeat nothing of it.
func parseIoT(text []byte, now time.Time) (Keys, error) {
	var reply struct {
		Credentials struct {
			AccessKeyID     string `json:"accessKeyId"`
			SecretAccessKey string `json:"secretAccessKey"`
			SessionToken    string `json:"sessionToken"`
			Expiration      string `json:"expiration"`
		} `json:"credentials"`
	}
	if err := json.Unmarshal(text, &reply); err != nil {
		return Keys{}, errors.New("its reply makes no sense; check endpoint")
	}
	c := reply.Credentials
	if c.SessionToken == "" || c.Expiration == "" {
		return Keys{}, errors.New("its reply lacks a session token or a time of expiry; check endpoint")
	}
	life, err := lifeUntil(c.Expiration, now)
	if err != nil {
		return Keys{}, err
	}
	keys := Keys{
		AccessKeyID:     c.AccessKeyID,
		SecretAccessKey: NewSecret(c.SecretAccessKey),
		SessionToken:    NewSecret(c.SessionToken),
		Life:            life,
	}
	return keys, keys.check()
}

// legible makes text from outside fit for a log line.
func legible(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if len(s) > limit {
		s = s[:limit] + "..."
	}
	return s
}
