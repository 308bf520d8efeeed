package link

import (
	"encoding/pem"
	"net/http/httptest"
)

// pemOf is the certificate of a TLS test server.
func pemOf(srv *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
}
