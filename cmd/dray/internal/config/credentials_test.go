package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/transport/link"
)

// put writes a file of a mode and returns its path.
func put(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // past the umask
		t.Fatal(err)
	}
	return path
}

// identity writes the certificate of a device and its key into dir.
func identity(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "device.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})), 0o644)
	put(t, filepath.Join(dir, "device.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})), 0o600)
}

func TestCredentialsComeFromOnePlace(t *testing.T) {
	dir := t.TempDir()
	keys := put(t, filepath.Join(dir, "keys"), "# mine\n[default]\naws_access_key_id = fileid\nAWS_SECRET_ACCESS_KEY=\"filesecret\"\n[p]\naws_access_key_id = x\naws_secret_access_key = y\n", 0o600)
	settings := put(t, filepath.Join(dir, "config"), "[profile p]\nregion = there\n[profile tool]\ncredential_process = /opt/tool\n", 0o644)
	put(t, filepath.Join(dir, "open"), "aws_access_key_id=i\naws_secret_access_key=s\n", 0o444)
	if err := os.MkdirAll(filepath.Join(dir, ".aws"), 0o700); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, ".aws", "credentials"), "[home]\naws_access_key_id = homeid\naws_secret_access_key = s\n", 0o600)
	identity(t, dir)
	env := map[string]string{"AWS_ACCESS_KEY_ID": "envid", "AWS_SECRET_ACCESS_KEY": "envsecret", "CREDENTIALS_DIRECTORY": dir, "HOME": dir}
	for _, c := range []struct{ text, name, id, secret, token, region string }{
		{"bucket: b", "fixed keys", "envid", "envsecret", "", ""},
		{"credentials: {access_key_id: i, secret_access_key: s, session_token: t}", "fixed keys", "i", "s", "t", ""},
		{"credentials: {file: " + keys + "}", "file " + keys, "fileid", "filesecret", "", ""},
		{"credentials: {file: keys}", "file " + keys, "fileid", "filesecret", "", ""},
		{"credentials: {file: open}", "file " + dir + "/open", "i", "s", "", ""}, // guarded by its folder
		{"credentials: {systemd: keys}", "file " + keys, "fileid", "filesecret", "", ""},
		{"credentials: {profile: p, credentials_file: keys, config_file: " + settings + "}", "profile p", "x", "y", "", "there"},
		{"credentials: {profile: home}", "profile home", "homeid", "s", "", ""},
		{"credentials: {profile: tool, config_file: config}", "profile tool", "", "", "", ""},
		{"credentials: {process: /opt/helper --pin 'a b'}", "process helper", "", "", "", ""},
		{"credentials: {process: [/opt/my helper, --pin, a b]}", "process my helper", "", "", "", ""},
		{"credentials: {iot: {endpoint: 'h.example:8443', role_alias: a, thing_name: t, cert_file: device.pem, key_file: device.key}}", "role alias a at h.example", "", "", "", ""},
	} {
		r := newReader()
		got := accountOf(r.root([]byte(c.text)), func(name string) string { return env[name] }, link.Proxy{})
		if len(r.problems) > 0 || got.keys.String() != c.name || got.region != c.region {
			t.Errorf("%s: got %v, %q, problems %v", c.text, got.keys, got.region, r.problems)
			continue
		}
		if c.id == "" {
			continue
		}
		k, err := got.keys.Issue(t.Context())
		if err != nil || k.AccessKeyID != c.id || k.SecretAccessKey.Reveal() != c.secret || k.SessionToken.Reveal() != c.token {
			t.Errorf("%s: got %s %s %s, %v", c.text, k.AccessKeyID, k.SecretAccessKey.Reveal(), k.SessionToken.Reveal(), err)
		}
	}
}

func TestAProblemOfCredentialsIsToldAtItsPlaceAndShowsNoSecret(t *testing.T) {
	dir := t.TempDir()
	identity(t, dir)
	put(t, filepath.Join(dir, "open.key"), "hush", 0o640)
	put(t, filepath.Join(dir, "torn"), "aws_access_key_id = i\nhush-hush\n", 0o600)
	put(t, filepath.Join(dir, "role"), "[profile x]\nrole_arn = hush\n", 0o600)
	iot := func(s string) string { return "credentials: {iot: {" + s + "}}" }
	const cert, key = "cert_file: device.pem", "key_file: device.key"
	for _, c := range []struct{ text, want string }{
		{"credentials: hush", "f:1:14: credentials: wants a mapping, got a single value; indent its keys below it, as in \"key: value\""},
		{"credentials: {profle: hush}", `f:1:15: credentials.profle: unknown key; did you mean "profile"?`},
		{"credentials: {file: torn, process: hush}", "f:1:14: credentials: has file and process; keep one of them"},
		{"credentials: {file: torn, session_token: hush}", `f:1:27: credentials.session_token: unknown key; known here: access_key_id, file, iot, process, profile, systemd`},
		{"credentials: {file: torn}", "f:1:21: credentials.file: DIR/torn: line 2 is not of the form name = value"},
		{"credentials: {file: absent}", "f:1:21: credentials.file: DIR/absent does not exist; make it, or name another"},
		{"credentials: {access_key_id: i, secret_access_key: 'hush hush'}", "f:1:30: credentials.access_key_id: the secret access key is not one; write the keys as they were issued"},
		{"credentials: {systemd: ../hush}", "f:1:24: credentials.systemd: is not the name of a credential; write the name that LoadCredential= gives it"},
		{"credentials: {systemd: keys}", "f:1:24: credentials.systemd: systemd has handed over nothing (CREDENTIALS_DIRECTORY is not set); start dray by a unit with LoadCredential=keys:PATH, or write file: PATH"},
		{"credentials: {profile: x}", "f:1:24: credentials.profile: there is no home folder to look for it in; name credentials_file or config_file"},
		{"credentials: {profile: x, config_file: role}", "f:1:24: credentials.profile: role_arn is not supported; name a credential_process that gets the keys"},
		{"credentials: {profile: y, config_file: role}", "f:1:24: credentials.profile: there is none in DIR/role"},
		{"credentials: {process: 'helper hush | tail'}", "f:1:24: credentials.process: '|' is for a shell, and there is none; quote it, or name a script; write the program and its arguments, as in [/usr/local/bin/helper, --profile, x]"},
		{"credentials: {process: []}", "f:1:24: credentials.process: no program is named; write the program and its arguments, as in [/usr/local/bin/helper, --profile, x]"},
		{"credentials: {process: [helper, {hush: 1}]}", "f:1:24: credentials.process: has an entry that is a mapping; write each word as plain or quoted text"},
		{iot("endpoint: 'https://h', role_alias: a, " + cert + ", " + key), "f:1:31: credentials.iot.endpoint: is not a host name; write what aws iot describe-endpoint --endpoint-type iot:CredentialProvider prints"},
		{iot("endpoint: h, role_alias: a b, " + cert + ", " + key), "f:1:46: credentials.iot.role_alias: is not the name of a role alias: letters, digits and _ = , @ -, at most 128"},
		{iot("endpoint: h, role_alias: a, " + cert), "f:1:20: credentials.iot.key_file: is missing; name the PEM file of its key, of mode 0600"},
		{iot("endpoint: h, role_alias: a, " + cert + ", key_file: open.key"), "f:1:82: credentials.iot.key_file: DIR/open.key can be read by others (mode 0640); chmod 600 DIR/open.key"},
		{iot("endpoint: h, role_alias: a, " + cert + ", key_file: torn"), "f:1:60: credentials.iot.cert_file: link: client certificate: DIR/device.pem and DIR/torn: tls: failed to find any PEM data in key input; the files must be PEM, and the key the certificate's"},
	} {
		r := newReader()
		r.dir = dir
		a := accountOf(r.root([]byte(c.text)), noEnv, link.Proxy{})
		got := fmt.Sprint(r.err("f"))
		lines := strings.Split(got, "\n")
		if want := strings.ReplaceAll(c.want, "DIR/", dir+"/"); lines[len(lines)-1] != want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.text, got, want)
		}
		if strings.Contains(strings.ReplaceAll(got, "../hush", ""), "hush") || a.keys != nil && len(lines) > 0 && !strings.Contains(got, "unknown key") {
			t.Errorf("%s: got %v, keys %v", c.text, got, a.keys)
		}
	}
}

func TestEndpointsAndTheWireAreReadFromTheConfig(t *testing.T) {
	const start = "streams: [{name: a, source: {type: stdin}, destination: d}]\ndestinations: [{name: d, type: s3, bucket: b, "
	const end = ", credentials: {access_key_id: i, secret_access_key: hush}}]"
	dir := t.TempDir()
	identity(t, dir)
	for _, c := range []struct{ text, want string }{
		{"region: eu-west-1, dual_stack: true, fips: true", "<nil>"},
		{"region: eu-west-1, proxy: 'http://me:hush@proxy.example:3128'", "<nil>"},
		{"region: eu-west-1, proxy: direct", "<nil>"},
		{"endpoint: 'https://h', cert_file: device.pem, key_file: device.key, ca_file: device.pem", "<nil>"},
		{"endpoint: 'https://h', fips: true", "f:2:76: destinations[0].fips: goes only with Amazon's own endpoints; leave out endpoint or fips"},
		{"endpoint: 'https://h', dual_stack: true", "f:2:82: destinations[0].dual_stack: goes only with Amazon's own endpoints; leave out endpoint or dual_stack"},
		{"region: r, proxy: 'me:hush@proxy'", "f:2:65: destinations[0].proxy: is not a proxy; write http://host:port or http://user:password@host:port, or direct for none"},
		{"region: r, cert_file: device.pem", "f:2:16: destinations[0]: link: client certificate: a certificate needs its key and a key its certificate; name both files"},
		{"path_style: true", `f:2:16: destinations[0].region: "" is not a region; write the bucket's, such as eu-west-1`},
	} {
		r := newReader()
		r.dir = dir
		r.parse([]byte(start+c.text+end), noEnv)
		if got := fmt.Sprint(r.err("f")); got != c.want || strings.Contains(got, "hush") {
			t.Errorf("%s: got\n%s\nwant\n%s", c.text, got, c.want)
		}
	}
}

func TestARegionMayComeFromTheProfileOrTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "config"), "[profile p]\nregion = eu-north-1\ncredential_process = x\n", 0o600)
	const start = "streams: [{name: a, source: {type: stdin}, destination: d}]\ndestinations: [{name: d, type: s3, bucket: b, credentials: "
	for text, env := range map[string]map[string]string{
		"{profile: p, config_file: config}":              {},
		"{access_key_id: i, secret_access_key: hush}":    {"AWS_REGION": "eu-west-1"},
		"{access_key_id: i, secret_access_key: hush }":   {"AWS_DEFAULT_REGION": "eu-west-1"},
		"{process: [x, '--region', y]}, region: eu-west": {},
	} {
		r := newReader()
		r.dir = dir
		r.parse([]byte(start+text+"}]"), func(name string) string { return env[name] })
		if err := r.err("f"); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// What a config holds must not come out however it is printed.
func TestNoSecretOfALoadedConfigIsShown(t *testing.T) {
	text := "streams: [{name: a, source: {type: stdin}, destination: d}]\ndestinations: [{name: d, type: s3, bucket: b, region: r, " +
		"proxy: 'http://me:hush@h', credentials: {access_key_id: i, secret_access_key: hush, session_token: hush}}]"
	c, problems := parsed(text, noEnv)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, v := range []any{c, *c, c.Engine.Destinations, c.Engine.Destinations[0], c.Engine.Destinations[0].To} {
		if got := fmt.Sprintf("%v %+v %#v", v, v, v); strings.Contains(got, "hush") {
			t.Errorf("%T: got %s", v, got)
		}
	}
}

func TestASecretInAConfigThatOthersCanReadIsWarnedOf(t *testing.T) {
	const text = "state_dir: %s\nspool: {max_bytes: 24MiB, min_free: 0}\nstreams: [{name: a, source: {type: stdin}, destination: d, object: {max_bytes: 8MiB}}]\n" +
		"destinations: [{name: d, type: s3, bucket: b-1, endpoint: 'https://h', credentials: {access_key_id: i, secret_access_key: hush}}]\n"
	dir := t.TempDir()
	path := filepath.Join(dir, "dray.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, text, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]int{0o600: 0, 0o640: 1, 0o644: 1} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Warnings) != want || want > 0 && (c.Warnings[0].Line != 4 || strings.Contains(c.Warnings[0].Text, "hush")) {
			t.Errorf("mode %04o: warnings %+v, want %d", mode, c.Warnings, want)
		}
	}
}
