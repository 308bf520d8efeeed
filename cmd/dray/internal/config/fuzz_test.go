package config

import (
	"strings"
	"testing"
)

// Whatever the bytes: no panic, and every problem has a place in the file.
func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("streams: [{name: a, source: {type: fifo, path: /x}, framing: {type: fixed, size: 9}, destination: d}]\n" +
		"destinations: [{name: d, type: s3, bucket: b, region: r, endpoint: 'http://h:1', credentials: {access_key_id: i, secret_access_key: hush-hush}}]"))
	f.Add([]byte("destinations: [{name: d, type: s3, proxy: 'http://u:hush-hush@h', credentials: {process: [a, b]}}, {type: s3, credentials: {iot: {endpoint: e}}}]"))
	f.Add([]byte("a: &a [*a]\nstreams: *a\n"))
	f.Add([]byte("? [x]\n: y\n<<: {device: z}\n"))
	f.Add([]byte("\xff\xfes\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := 1 + strings.Count(string(data), "\n") + strings.Count(string(data), "\r") +
			strings.Count(string(data), "\u0085") + strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029")
		_, problems := parsed(string(data), noEnv)
		for _, p := range problems {
			if p.Line < 1 || p.Line > lines+1 || p.Column < 1 || p.Text == "" {
				t.Errorf("no place in a file of %d lines: %+v", lines, p)
			}
		}
	})
}
