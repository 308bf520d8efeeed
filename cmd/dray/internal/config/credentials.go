package config

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/seed-7270d448/dray/transport/creds"
	"github.com/seed-7270d448/dray/transport/link"
)

const credentialsHint = "set credentials: {file: PATH}, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"

// An account is what a destination signs with and what its profile says besides.
type account struct {
	keys   creds.Issuer // nil if there is a problem
	region string       // of the profile; may be empty
}

// keySources is the table of where keys may come from: how each is read from
// the mapping "credentials", by the key that tells it from the others.
var keySources = map[string]func(k *mapping, env func(string) string, proxy link.Proxy) account{
	"access_key_id": staticKeys,
	"file":          fileKeys,
	"iot":           iotKeys,
	"process":       processKeys,
	"profile":       profileKeys,
	"systemd":       systemdKeys,
}

// accountOf reads where the keys of a destination come from; without a word of
// that, from the environment.
func accountOf(m *mapping, env func(string) string, proxy link.Proxy) account {
	const key = "credentials"
	if m.get(key) == nil {
		id, secret := env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY")
		if id == "" || secret == "" {
			m.r.report(m.path, m.at, credentialsHint, "has no credentials")
			return account{}
		}
		return checked(m, key, creds.Static{Keys: creds.Keys{
			AccessKeyID: id, SecretAccessKey: creds.NewSecret(secret), SessionToken: creds.NewSecret(env("AWS_SESSION_TOKEN")),
		}}, "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment")
	}
	k := m.mapping(key)
	if m.r.bad[k.path] {
		return account{}
	}
	var found []string
	for _, name := range slices.Sorted(maps.Keys(keySources)) {
		if k.get(name) != nil {
			found = append(found, name)
		}
	}
	var a account
	switch len(found) {
	case 0:
		a = staticKeys(k, env, proxy) // which says what is missing
	case 1:
		a = keySources[found[0]](k, env, proxy)
	default:
		m.problem(key, "keep one of them", "has %s", strings.Join(found, " and "))
		return account{}
	}
	k.done()
	return a
}

// checked asks an issuer on this machine for its keys, so that a problem is
// told at its place rather than at the first upload.
func checked(m *mapping, key string, keys creds.Issuer, hint string) account {
	if _, err := keys.Issue(context.Background()); err != nil {
		m.problem(key, readHint(err, hint), "%v", errors.Unwrap(err))
		return account{}
	}
	return account{keys: keys}
}

func staticKeys(k *mapping, _ func(string) string, _ link.Proxy) account {
	before := len(k.r.problems)
	keys := creds.Keys{
		AccessKeyID:     k.need("access_key_id", credentialsHint),
		SecretAccessKey: creds.NewSecret(k.need("secret_access_key", credentialsHint)),
		SessionToken:    creds.NewSecret(k.text("session_token")),
	}
	if len(k.r.problems) > before {
		return account{}
	}
	if k.r.exposed {
		k.r.warn(k.path, k.at, "others on this machine can read the secret here; chmod 600 this file, or keep the keys in one of their own and name that as credentials.file")
	}
	return checked(k, "access_key_id", creds.Static{Keys: keys}, "write the keys as they were issued")
}

func fileKeys(k *mapping, env func(string) string, _ link.Proxy) account {
	if k.need("file", credentialsHint) == "" || k.file("file", env, private) == "" {
		return account{}
	}
	path, guarded := k.locate("file", env)
	return checked(k, "file", creds.File{Path: path, Guarded: guarded}, "")
}

// systemdKeys are those that LoadCredential= or SetCredentialEncrypted= of a
// unit hands over.
func systemdKeys(k *mapping, env func(string) string, _ link.Proxy) account {
	const key = "systemd"
	name, dir := k.need(key, "write the name that LoadCredential= gives it"), env("CREDENTIALS_DIRECTORY")
	switch {
	case name == "":
	case name != filepath.Base(name) || name == "." || name == "..":
		k.problem(key, "write the name that LoadCredential= gives it", "is not the name of a credential")
	case dir == "":
		k.problem(key, "start dray by a unit with LoadCredential="+clip(name)+":PATH, or write file: PATH",
			"systemd has handed over nothing (CREDENTIALS_DIRECTORY is not set)")
	default:
		return checked(k, key, creds.File{Path: filepath.Join(dir, name), Guarded: true}, "")
	}
	return account{}
}

// profileKeys are those of a profile of the AWS CLI's files.
func profileKeys(k *mapping, env func(string) string, _ link.Proxy) account {
	const key = "profile"
	p := creds.Profile{Name: k.need(key, "name a profile, such as default")}
	for _, f := range []struct {
		to              *string
		name, env, home string
	}{
		{&p.CredentialsFile, "credentials_file", "AWS_SHARED_CREDENTIALS_FILE", "credentials"},
		{&p.ConfigFile, "config_file", "AWS_CONFIG_FILE", "config"},
	} {
		*f.to, _ = k.locate(f.name, env)
		if *f.to == "" {
			*f.to = env(f.env)
		}
		if home := env("HOME"); *f.to == "" && home != "" {
			*f.to = filepath.Join(home, ".aws", f.home)
		}
	}
	switch {
	case p.Name == "":
		return account{}
	case p.CredentialsFile == "" && p.ConfigFile == "":
		k.problem(key, "name credentials_file or config_file", "there is no home folder to look for it in")
		return account{}
	}
	region, err := p.Check()
	if err != nil {
		k.problem(key, readHint(err, ""), "%v", err)
		return account{}
	}
	return account{keys: p, region: region}
}

// processKeys are what a program prints: one line, or its words as a list.
func processKeys(k *mapping, _ func(string) string, _ link.Proxy) account {
	const key = "process"
	n := k.get(key)
	var c creds.Command
	var err error
	if n.Kind == yaml.SequenceNode {
		var words []string
		for _, w := range n.Content {
			if w = k.r.follow(w); w.Kind != yaml.ScalarNode || w.Tag == "!!null" {
				k.problem(key, "write each word as plain or quoted text", "has an entry that is %s", kind(w))
				return account{}
			}
			words = append(words, w.Value)
		}
		c = creds.NewCommand(words...)
		err = c.Check()
	} else {
		line := k.need(key, "write the program and its arguments")
		if line == "" {
			return account{}
		}
		c, err = creds.SplitCommand(line)
	}
	if err != nil {
		k.problem(key, "write the program and its arguments, as in [/usr/local/bin/helper, --profile, x]", "%v", err)
		return account{}
	}
	return account{keys: creds.Process{Command: c}}
}

// iotKeys are those that AWS IoT Core gives for the device's certificate.
func iotKeys(m *mapping, env func(string) string, proxy link.Proxy) account {
	before := len(m.r.problems)
	k := m.mapping("iot")
	c := creds.IoTConfig{
		Endpoint:  k.need("endpoint", "write what aws iot describe-endpoint --endpoint-type iot:CredentialProvider prints"),
		RoleAlias: k.need("role_alias", "name the role alias"),
		ThingName: k.text("thing_name"),
	}
	k.need("cert_file", "name the PEM file of the device's certificate")
	k.need("key_file", "name the PEM file of its key, of mode 0600")
	wire := link.Config{
		CertFile: k.file("cert_file", env, openToAll),
		KeyFile:  k.file("key_file", env, private),
		CAFile:   k.file("ca_file", env, openToAll),
		Proxy:    proxy,
		MaxReply: creds.MaxIoTReply,
	}
	k.done()
	if len(m.r.problems) > before {
		return account{}
	}
	if key, err := c.Check(); err != nil {
		k.problem(key, "", "%v", err)
		return account{}
	}
	var err error
	if c.HTTP, err = m.r.wires.open(wire, nil); err != nil {
		k.problem("cert_file", readHint(err, "the files must be PEM, and the key the certificate's"), "%v", err)
		return account{}
	}
	keys, err := creds.NewIoT(c)
	if err != nil {
		m.problem("iot", "", "%v", err)
		return account{}
	}
	return account{keys: keys}
}
