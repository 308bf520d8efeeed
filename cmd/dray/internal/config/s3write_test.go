package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// bucket is a config whose one destination, line 3, has more after its credentials.
func bucket(more string) string {
	return "streams: [{name: a, source: {type: stdin}, destination: d}]\ndestinations:\n" +
		"- {name: d, type: s3, bucket: b, region: r, credentials: {access_key_id: i, secret_access_key: s}, " + more + "}"
}

func TestAWrongBucketOrRegionIsToldAtItsPlace(t *testing.T) {
	for at, want := range map[string]string{
		"bucket: b":                             `region: "" is not a region; write the bucket's, such as eu-west-1`,
		"bucket: b, region: eu west":            `region: "eu west" is not a region; write the bucket's, such as eu-west-1`,
		"bucket: 'arn:aws:s3:::b/c', region: r": `bucket: "arn:aws:s3:::b/c" is not a bucket's name; write the name alone, without ARN, folder or address`,
	} {
		_, problems := parsed(strings.Replace(bucket("if_absent: true"), "bucket: b, region: r", at, 1), noEnv)
		if got := (&Error{"f", problems}).Error(); len(problems) != 1 || !strings.HasSuffix(got, ": destinations[0]."+want) {
			t.Errorf("%s: got\n%s\nwant\n%s", at, got, want)
		}
	}
}

func TestEachWrongWayOfWritingIsToldAtItsPlace(t *testing.T) {
	const at = 101 // column where more begins
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, make([]byte, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		more   string
		column int
		want   string
	}{
		{"prefix: /fleet", 8, `prefix: key "/fleet": must be relative, without empty, "." or ".." elements; write folders that keys are to be in, such as fleet/north`},
		{"checksum: md5", 10, `checksum: "md5" is not known; choose one of crc32c, crc64nvme, crc32, sha1, sha256`},
		{"checksum: sha1, checksum_type: full_object", 31, "checksum_type: S3 knows no sha1 checksum of type full_object; leave the key out: each algorithm has a good default"},
		{"checksum_type: whole", 15, `checksum_type: "whole" is not known; choose full_object or composite, or leave the key out`},
		{"if_absent: 1", 11, `if_absent: "1" is neither true nor false; write true or false`},
		{"if_absent: false, if_match: x", 28, "if_match: cannot go with if_absent: false; leave one of the two out"},
		{"expected_owner: 12345", 16, `expected_owner: "12345" is not an account ID; write the twelve digits of the account ID`},
		{"storage_class: cold ice", 15, `storage_class: "cold ice" is not a storage class; write it as S3 does, such as STANDARD_IA, GLACIER_IR or DEEP_ARCHIVE`},
		{"tags: {aws:x: y}", 6, `tags: "aws:x" is not a tag's name; names are 1 to 128 letters, digits, blanks and + - = . _ : / @, and do not begin with aws:`},
		{"tags: {x: {y: z}}", 10, "tags.x: wants a single value, got a mapping; give it a single value or leave the key out"},
		{"encryption: {kms_key: k}", 12, "encryption.type: is missing; choose one of s3, kms, customer"},
		{"encryption: {type: none}", 19, `encryption.type: "none" is not known; choose one of s3, kms, customer`},
		{"encryption: {type: s3, bucket_key: true}", 35, "encryption.bucket_key: goes only with type kms; set type: kms or leave the key out"},
		{"encryption: {type: customer}", 12, "encryption.key_file: is missing; name a file of mode 0600 that holds 32 random bytes"},
		{"encryption: {type: s3, colour: red}", 23, "encryption.colour: unknown key; known here: type, kms_key, kms_context, bucket_key, key_file"},
		{"object_lock: {mode: governance}", 13, "object_lock.retain: is missing; say for how long, such as 8760h"},
		{"object_lock: {retain: 10}", 22, `object_lock.retain: "10" has no unit; ` + durationHint},
		{"object_lock: {retain: 1h}", 13, "object_lock.mode: is missing; choose governance or compliance"},
		{"content_type: text", 14, `content_type: "text" is not a content type; write type/subtype, such as text/csv`},
		{"content_type: text/plain; charset=utf-8", 14, "content_type: must be at most 256 printable characters without a blank; leave out blanks, as in text/plain;charset=utf-8"},
		{"metadata: {dray-start: '1'}", 10, `metadata: "dray-start" is reserved; names that begin with dray- say what an object holds`},
		{"metadata: {Upper: x}", 10, `metadata: "Upper" is not a name; use lower-case ASCII letters, digits and '-'`},
		{"endpoint: 'http://h', encryption: {type: customer, key_file: KEY}", 41, "encryption.type: the key would cross the network in the clear; use an https endpoint"},
	} {
		t.Run(c.more, func(t *testing.T) {
			_, problems := parsed(bucket(strings.ReplaceAll(c.more, "KEY", key)), noEnv)
			got, want := (&Error{"f", problems}).Error(), fmt.Sprintf("f:3:%d: destinations[0].%s", at+c.column-1, c.want)
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestAKeyFileMustBePrivateAndHoldAKey(t *testing.T) {
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"raw", strings.Repeat("\x01", 32), 0o600, ""},
		{"base64", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 0o600, ""},
		{"hexadecimal", strings.Repeat("0f", 32) + "\n", 0o600, ""},
		{"open to all", strings.Repeat("\x01", 32), 0o644, "can be read by others"},
		{"short", "hush-hush", 0o600, "holds no key: it must be 32 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(key, []byte(c.text), c.mode); err != nil {
				t.Fatal(err)
			}
			config, problems := parsed(bucket("encryption: {type: customer, key_file: "+key+"}"), noEnv)
			got := (&Error{"f", problems}).Error()
			if (got != "") != (c.want != "") || !strings.Contains(got, c.want) || strings.Contains(got, "hush") {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if c.want == "" && config.Engine.Destinations[0].To.Limits().MaxPut != 0 {
				t.Error("objects could be put whole before the server has shown that it encrypts")
			}
		})
	}
}
