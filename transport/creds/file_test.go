package creds

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/transport"
)

// written replaces a file in one step.
func written(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path+".new", mode); err != nil { // past the umask
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}

func pairOf(id string) string {
	return "aws_access_key_id = " + id + "\naws_secret_access_key = hush\n"
}

func TestAFileIsReadAnewWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := written(t, filepath.Join(t.TempDir(), "keys"), pairOf("id1"), 0o600)
		p := NewProvider(File{Path: path})
		expect(t, p, "id1")
		written(t, path, pairOf("id2"), 0o600)
		expect(t, p, "id2")
		// Half a file, or one that others can read, is not taken over.
		written(t, path, "aws_access_key_id = id3\n", 0o600)
		expect(t, p, "id2")
		written(t, path, pairOf("id3"), 0o644)
		time.Sleep(renewPause)
		expect(t, p, "id2")
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(renewPause)
		expect(t, p, "id3")
	})
}

func TestAFileThatCannotBeUsedSaysWhy(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) File {
		return File{Path: written(t, filepath.Join(dir, name), text, mode)}
	}
	for _, c := range []struct {
		file File
		want string
	}{
		{File{Path: filepath.Join(dir, "absent")}, "no such file"},
		{File{Path: dir}, "not a regular file"},
		{File{Path: "/dev/zero"}, "not a regular file"},
		{file("group", pairOf("id"), 0o640), "can be read by others (mode 0640); chmod 600 " + dir},
		{file("world", pairOf("id"), 0o604), "can be read by others (mode 0604)"},
		{file("empty", "", 0o600), "there is no access key ID and secret access key"},
		{file("torn", "hush-hush\n", 0o600), "line 1 is not of the form name = value"},
		{file("long", strings.Repeat("x", maxLine+1), 0o600), "line 1 is longer than 32 KiB"},
		{file("great", strings.Repeat("# padding\n", maxFile/10+1), 0o600), "greater than 1024 KiB"},
	} {
		_, err := c.file.Issue(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) || transport.KindOf(err) != transport.Denied || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: got %v, want denied, %q", c.file, err, c.want)
		}
	}
	guarded := file("guarded", pairOf("id"), 0o440)
	guarded.Guarded = true
	if keys, err := guarded.Issue(t.Context()); keys.AccessKeyID != "id" || err != nil {
		t.Errorf("guarded by its folder: got %v, %v", keys, err)
	}
}

func TestFilesAreReadAsOthersWriteThem(t *testing.T) {
	for name, text := range map[string]string{
		"AWS CLI":      "[other]\naws_access_key_id = x\n[default]\r\naws_access_key_id = id\r\naws_secret_access_key = hush/+=\r\naws_session_token = token\r\n",
		"shell":        "# mine\nexport AWS_ACCESS_KEY_ID='id'\nexport AWS_SECRET_ACCESS_KEY=\"hush/+=\"\nAWS_SESSION_TOKEN=token",
		"short names":  "access_key_id=id\nsecret_access_key=hush/+=\nsession_token=token",
		"comments":     "; one\n  # two\naws_access_key_id = id # three\naws_secret_access_key=hush/+=\t; four\naws_session_token=token\n",
		"nested":       "s3 =\n  aws_access_key_id = x\n  max = 1\naws_access_key_id = id\n  aws_secret_access_key = hush/+=\n  aws_session_token = token\n",
		"twice":        "aws_access_key_id=x\naws_access_key_id=id\naws_secret_access_key=hush/+=\naws_session_token=token\n",
		"two sections": "[default]\naws_access_key_id=id\n[x]\naws_access_key_id=x\n[ default ]\naws_secret_access_key=hush/+=\naws_session_token=token\n",
	} {
		sections, err := parseINI([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		k := sections["default"].keys()
		if k.AccessKeyID != "id" || k.SecretAccessKey.Reveal() != "hush/+=" || k.SessionToken.Reveal() != "token" {
			t.Errorf("%s: got %q, %q, %q", name, k.AccessKeyID, k.SecretAccessKey.Reveal(), k.SessionToken.Reveal())
		}
	}
}

func TestAProfileIsReadFromBothFiles(t *testing.T) {
	dir := t.TempDir()
	tool := written(t, filepath.Join(dir, "tool"), "#!/bin/sh\nprintf '{\"Version\":1,\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"hush\"}' \"$1\"\n", 0o700)
	keys := written(t, filepath.Join(dir, "credentials"), "[plain]\n"+pairOf("plain-id")+"[both]\n"+pairOf("both-id")+"[default]\n"+pairOf("default-id"), 0o600)
	config := written(t, filepath.Join(dir, "config"), `[default]
region = eu-west-1
[profile both]
region = eu-north-1
credential_process = /never/run
[profile tool]
credential_process = "`+tool+`" 'tool id'
[profile spaced]
credential_process = "`+tool+`" tool-id
region = here
[profile role]
role_arn = arn:aws:iam::123456789012:role/x
source_profile = default
[profile piped]
credential_process = cat hush | tool
[profile nothing]
region = x
`, 0o644)
	for _, c := range []struct{ name, id, region, want string }{
		{"default", "default-id", "eu-west-1", ""},
		{"both", "both-id", "eu-north-1", ""},
		{"plain", "plain-id", "", ""},
		{"spaced", "tool-id", "here", ""},
		{"tool", "", "", "the access key ID is not one"}, // a word with a blank arrives as one
		{"role", "", "", "role_arn is not supported; name a credential_process"},
		{"piped", "", "", "credential_process: '|' is for a shell"},
		{"nothing", "", "x", "neither aws_access_key_id nor credential_process"},
		{"absent", "", "", "there is none in " + keys + " and " + config},
	} {
		p := Profile{Name: c.name, CredentialsFile: keys, ConfigFile: config}
		got, err := p.Issue(t.Context())
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if region, _ := p.Check(); err == nil && got.AccessKeyID != c.id || region != c.region {
			t.Errorf("%s: got %s in %q, want %s in %q", c.name, got.AccessKeyID, region, c.id, c.region)
		}
	}
}

func TestAProfileWhoseFilesOthersCanTouchIsRefused(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"secret", "[profile x]\n" + pairOf("id"), 0o644, "can be read by others"},
		{"program", "[profile x]\ncredential_process = id\n", 0o666, "can be written by others"},
		{"program to be read", "[profile x]\ncredential_process = /bin/true\n", 0o644, ""},
	} {
		_, err := Profile{Name: "x", ConfigFile: written(t, filepath.Join(dir, c.name), c.text, c.mode)}.Check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestAProfileRotatesWithItsFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "credentials")
	p := NewProvider(Profile{Name: "x", CredentialsFile: path, ConfigFile: filepath.Join(dir, "config")})
	expect(t, p, "denied")
	written(t, path, "[x]\n"+pairOf("id1"), 0o600)
	expect(t, p, "id1")
	written(t, path, "[x]\n"+pairOf("id2"), 0o600)
	expect(t, p, "id2")
}
