package creds

import (
	"strings"
	"testing"
	"time"
)

// Whatever the bytes: no panic, what is accepted can be sent in a header, and no
// error repeats what was read.

func FuzzParseINI(f *testing.F) {
	f.Add([]byte("[default]\naws_access_key_id = i\naws_secret_access_key = hush-hush\n"))
	f.Add([]byte("export AWS_ACCESS_KEY_ID='i'\nhush-hush\n"))
	f.Add([]byte("[profile x]\ns3 =\n  a = b\ncredential_process = \"/a b\" c # d\n"))
	f.Add([]byte("[hush-hush\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		sections, err := parseINI(text)
		if err != nil && strings.Contains(err.Error(), "hush-hush") {
			t.Errorf("the error shows the file: %v", err)
		}
		if len(sections) > maxSections {
			t.Errorf("%d sections", len(sections))
		}
		if err == nil && sections["default"] == nil {
			t.Error("no default section")
		}
	})
}

func FuzzParseReplies(f *testing.F) {
	f.Add([]byte(`{"Version":1,"AccessKeyId":"i","SecretAccessKey":"hush-hush","Expiration":"2030-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"credentials":{"accessKeyId":"i","secretAccessKey":"hush-hush","sessionToken":"t","expiration":"2030-01-01T00:00:00Z"}}`))
	f.Add([]byte(`{"credentials":{"accessKeyId":"hush-hush`))
	now := time.Date(2029, 12, 31, 23, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text []byte) {
		for name, parse := range map[string]func([]byte, time.Time) (Keys, error){"process": parseProcess, "iot": parseIoT} {
			keys, err := parse(text, now)
			if err != nil && strings.Contains(err.Error(), "hush-hush") {
				t.Errorf("%s: the error shows the reply: %v", name, err)
			}
			if err == nil && (keys.check() != nil || keys.Life > maxLife) {
				t.Errorf("%s: accepted what cannot be used", name)
			}
		}
	})
}

func FuzzSplitCommand(f *testing.F) {
	f.Add(`"/opt/my tool" 'hush-hush' x`)
	f.Add("a | hush-hush")
	f.Fuzz(func(t *testing.T, line string) {
		c, err := SplitCommand(line)
		if err != nil && strings.Contains(err.Error(), "hush-hush") {
			t.Errorf("the error shows the line: %v", err)
		}
		if err == nil && (len(*c.words) > maxWords || (*c.words)[0] == "") {
			t.Errorf("accepted %q", *c.words)
		}
	})
}
