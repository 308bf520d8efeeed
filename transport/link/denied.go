package link

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
)

// Denied says of an error of RoundTrip that no connection came about for a reason
// that an operator must put right, and gives a hint: somebody's certificate or
// the proxy's permission. No request was sent then. Other errors are for time to
// heal.
func Denied(err error) (hint string, denied bool) {
	var (
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		host      x509.HostnameError
		verify    *tls.CertificateVerificationError
		alert     *net.OpError
		proxy     *ProxyError
	)
	switch {
	case errors.As(err, &authority), errors.As(err, &invalid), errors.As(err, &host), errors.As(err, &verify):
		return "check ca_file, endpoint and this device's clock", true
	case errors.As(err, &proxy):
		switch proxy.Status {
		case http.StatusProxyAuthRequired, http.StatusUnauthorized, http.StatusForbidden:
			return "check the user and password in proxy, and where the proxy lets one go", true
		}
	case errors.As(err, &alert) && alert.Op == "remote error" && aboutCertificate(alert.Err):
		return "the server refuses this device's certificate; check cert_file and key_file", true
	}
	return "", false
}

// aboutCertificate says that a TLS alert is about the certificate of the one who
// gets it (RFC 8446, 6.2). Alerts have no exported type, only these names.
func aboutCertificate(alert error) bool {
	s := alert.Error()
	return strings.Contains(s, "certificate") || strings.Contains(s, "access denied")
}
