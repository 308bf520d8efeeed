package config

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// credentials are the keys of an S3 account.
type credentials struct {
	id            string
	secret, token Secret
}

const credentialsHint = "set credentials: {file: PATH}, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"

// credentialsOf reads the credentials of a destination: from the config file,
// from the file that it names, else from the environment.
func credentialsOf(m *mapping, env func(string) string) credentials {
	const key = "credentials"
	if m.get(key) == nil {
		c := credentials{env("AWS_ACCESS_KEY_ID"), Secret(env("AWS_SECRET_ACCESS_KEY")), Secret(env("AWS_SESSION_TOKEN"))}
		if c.id == "" || c.secret == "" {
			m.r.report(m.path, m.at, credentialsHint, "has no credentials")
		}
		return c
	}
	k := m.mapping(key)
	if k.get("file") == nil {
		c := credentials{
			id:     k.need("access_key_id", credentialsHint),
			secret: Secret(k.need("secret_access_key", credentialsHint)),
			token:  k.secret("session_token"),
		}
		k.done()
		return c
	}
	path := k.file("file", env, private)
	k.done()
	if path == "" {
		return credentials{}
	}
	data, err := readBounded(path)
	if err == nil {
		var c credentials
		if c, err = parseCredentials(data); err == nil {
			return c
		}
	}
	k.problem("file", readHint(err, "write aws_access_key_id = ... and aws_secret_access_key = ..., one a line"), "%v", err)
	return credentials{}
}

// parseCredentials reads lines "name = value": the default section of an AWS
// credentials file, or what a shell would source. Its errors repeat nothing.
func parseCredentials(data []byte) (credentials, error) {
	var c credentials
	section := "default"
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			section = strings.TrimSpace(strings.Trim(line, "[]"))
			continue
		}
		if section != "default" {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if !ok {
			return credentials{}, fmt.Errorf("line %d is not of the form name = value", n)
		}
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		switch strings.TrimPrefix(strings.ToLower(strings.TrimSpace(name)), "aws_") {
		case "access_key_id":
			c.id = value
		case "secret_access_key":
			c.secret = Secret(value)
		case "session_token":
			c.token = Secret(value)
		}
	}
	if lines.Err() != nil {
		return credentials{}, errors.New("has a line that is too long")
	}
	if c.id == "" || c.secret == "" {
		return credentials{}, errors.New("holds no access key and secret")
	}
	return c, nil
}

// Who may read a file that the config names.
const (
	openToAll = false
	private   = true
)

// maxNamed bounds files that the config names, in bytes.
const maxNamed = 1 << 20

// file returns the path of the file below key, "" if the key is absent or the
// file is no good: it must be a regular file of modest size, and, if private,
// readable by its owner alone. A relative path is looked up in
// $CREDENTIALS_DIRECTORY, where systemd's LoadCredential= puts files; those are
// guarded by systemd, which may give them a group by ACL. Without that, beside
// the config file: so dray check, run by hand, reads what the service will.
func (m *mapping) file(key string, env func(string) string, private bool) string {
	path := m.text(key)
	if path == "" {
		return ""
	}
	switch dir := env("CREDENTIALS_DIRECTORY"); {
	case filepath.IsAbs(path):
	case dir != "":
		path, private = filepath.Join(dir, path), false
	default:
		path = filepath.Join(m.r.dir, path)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		m.problem(key, "make it, or name another", "%s does not exist", path)
	case err != nil:
		m.problem(key, readHint(err, ""), "%v", err)
	case !info.Mode().IsRegular():
		m.problem(key, "name a regular file", "%s is not a file", path)
	case info.Size() > maxNamed:
		m.problem(key, "name another file", "%s is greater than %d KiB", path, maxNamed>>10)
	case private && info.Mode().Perm()&0o077 != 0:
		m.problem(key, "chmod 600 "+path, "%s can be read by others (mode %04o)", path, info.Mode().Perm())
	default:
		return path
	}
	return ""
}

// readHint is what to do about a file that cannot be read: otherwise, unless it
// is this user who may not.
func readHint(err error, otherwise string) string {
	if errors.Is(err, fs.ErrPermission) {
		return "give it to the user that dray runs as; for a systemd service hand it over with LoadCredential= and name it here without a folder"
	}
	return otherwise
}

// readBounded reads a regular file of at most maxNamed bytes. It opens without
// waiting, so that a FIFO put in the file's place holds nobody up.
func readBounded(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxNamed+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxNamed {
		return nil, fmt.Errorf("%s is greater than %d KiB", path, maxNamed>>10)
	}
	return data, nil
}
