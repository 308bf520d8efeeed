package config

import (
	"maps"
	"slices"

	"github.com/seed-7270d448/dray/transport/glacier"
	"github.com/seed-7270d448/dray/transport/s3"
)

// writeOf reads how objects are written to a bucket. What S3 makes of it is for
// s3.New to say; see tell.
func writeOf(m *mapping, env func(string) string) s3.Write {
	w := s3.Write{
		Checksum:        m.text("checksum"),
		ChecksumType:    m.text("checksum_type"),
		IfMatch:         m.text("if_match"),
		ExpectedOwner:   m.text("expected_owner"),
		RequestPayer:    m.yes("request_payer"),
		StorageClass:    m.text("storage_class"),
		Tags:            m.texts("tags"),
		ContentType:     m.text("content_type"),
		ContentEncoding: m.text("content_encoding"),
		Metadata:        m.texts("metadata"),
	}
	if m.get("if_absent") != nil {
		w.MayReplace = !m.yes("if_absent")
	}
	lock := m.mapping("object_lock")
	w.Lock = s3.Lock{Mode: lock.text("mode"), Retain: lock.duration("retain"), LegalHold: lock.yes("legal_hold")}
	lock.done()
	w.Encryption = encryptionOf(m.mapping("encryption"), env)
	return w
}

func encryptionOf(m *mapping, env func(string) string) s3.Encryption {
	if len(m.keys) > 0 {
		m.need("type", "choose one of s3, kms, customer")
	}
	e := s3.Encryption{
		Type:       m.text("type"),
		KMSKey:     m.text("kms_key"),
		KMSContext: m.texts("kms_context"),
		BucketKey:  m.yes("bucket_key"),
	}
	path := m.file("key_file", env, private)
	m.done()
	if path == "" {
		return e
	}
	data, err := readBounded(path)
	if err == nil {
		e.CustomerKey, err = s3.ParseCustomerKey(data)
	}
	if err != nil {
		m.problem("key_file", readHint(err, "make one with: head -c 32 /dev/urandom > "+path), "%v", err)
	}
	return e
}

// texts returns the mapping below key as pairs of text; nil if it is absent.
func (m *mapping) texts(key string) map[string]string {
	if m.get(key) == nil {
		return nil
	}
	pairs, texts := m.mapping(key), map[string]string{}
	if len(pairs.keys) > maxList {
		m.problem(key, "leave some out", "has %d entries, at most %d are allowed", len(pairs.keys), maxList)
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(pairs.keys)) {
		texts[name] = pairs.text(name)
	}
	return texts
}

// tell reports at its place each key of the destination m that err finds wrong.
func (m *mapping) tell(err error) {
	switch e := err.(type) {
	case *s3.ConfigError:
		m.fault(e.Field, e.Problem, e.Hint)
	case *glacier.ConfigError:
		m.fault(e.Field, e.Problem, e.Hint)
	case interface{ Unwrap() []error }:
		for _, e := range e.Unwrap() {
			m.tell(e)
		}
	case interface{ Unwrap() error }:
		m.tell(e.Unwrap())
	}
}

func (m *mapping) fault(field, problem, hint string) {
	path := join(m.path, field)
	if at, told := m.r.place(path); !told {
		m.r.report(path, at, hint, "%s", problem)
		delete(m.r.bad, path) // two rules may find fault with one key
	}
}
