package transporttest_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/seed-7270d448/dray/transport/transporttest"
)

// sdk is a client of the simulator as Amazon makes it, at Amazon's own names.
func sdk(t *testing.T, s *transporttest.Simulator, change func(*s3.Options)) *s3.Client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.CAPEM)
	wire := &http.Transport{DialContext: s.DialContext, TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(wire.CloseIdleConnections)
	o := s3.Options{
		Region: s.Region, Retryer: aws.NopRetryer{}, HTTPClient: &http.Client{Transport: wire},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: s.Keys.AccessKeyID, SecretAccessKey: s.Keys.SecretAccessKey}, nil
		}),
	}
	if change != nil {
		change(&o)
	}
	return s3.New(o)
}

// refused checks that err has that code; a HEAD has none, and a status instead.
func refused(t *testing.T, what string, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

func TestSimulatorWantsTheSameCustomerKeyOnEveryCall(t *testing.T) {
	s := transporttest.StartSimulator(t, transporttest.SimulatorOptions{MinPart: 10})
	c, ctx := sdk(t, s, nil), t.Context()
	secret := func(b byte) (key, sum *string) {
		raw := bytes.Repeat([]byte{b}, 32)
		h := md5.Sum(raw)
		return aws.String(base64.StdEncoding.EncodeToString(raw)), aws.String(base64.StdEncoding.EncodeToString(h[:]))
	}
	k, m := secret(1)
	wrong, wrongSum := secret(2)
	key, alg := aws.String("dir/a b+c"), aws.String("AES256")
	made, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &s.Bucket, Key: key, SSECustomerAlgorithm: alg, SSECustomerKey: k, SSECustomerKeyMD5: m,
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c, ChecksumType: types.ChecksumTypeFullObject})
	if err != nil || aws.ToString(made.SSECustomerKeyMD5) != *m {
		t.Fatalf("create: %+v, %v", made, err)
	}
	sum := func(body string) *string { return aws.String(crc32c(body)) }
	send := func(n int32, body string, k, m *string) (*s3.UploadPartOutput, error) {
		in := &s3.UploadPartInput{Bucket: &s.Bucket, Key: key, UploadId: made.UploadId, PartNumber: &n, Body: strings.NewReader(body), ChecksumCRC32C: sum(body), SSECustomerKey: k, SSECustomerKeyMD5: m}
		if k != nil {
			in.SSECustomerAlgorithm = alg
		}
		return c.UploadPart(ctx, in)
	}
	_, err = send(1, "0123456789", nil, nil)
	refused(t, "a part without the key", err, "InvalidRequest")
	_, err = send(1, "0123456789", wrong, wrongSum)
	refused(t, "a part with another key", err, "InvalidRequest")
	_, err = send(1, "0123456789", k, wrongSum)
	refused(t, "a part with a wrong MD5", err, "InvalidArgument")
	_, err = send(1, "0123456789", k, nil)
	refused(t, "a part without the MD5", err, "InvalidArgument")
	one, err := send(1, "0123456789", k, m)
	if err != nil {
		t.Fatal(err)
	}
	two, err := send(2, "end", k, m)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.ListParts(ctx, &s3.ListPartsInput{Bucket: &s.Bucket, Key: key, UploadId: made.UploadId})
	refused(t, "a list without the key", err, "InvalidRequest")
	complete := func(change func(*s3.CompleteMultipartUploadInput)) (*s3.CompleteMultipartUploadOutput, error) {
		in := &s3.CompleteMultipartUploadInput{Bucket: &s.Bucket, Key: key, UploadId: made.UploadId, SSECustomerAlgorithm: alg, SSECustomerKey: k, SSECustomerKeyMD5: m,
			IfNoneMatch: aws.String("*"), MpuObjectSize: aws.Int64(13), ChecksumType: types.ChecksumTypeFullObject, ChecksumCRC32C: sum("0123456789end"),
			MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{
				{PartNumber: aws.Int32(1), ETag: one.ETag, ChecksumCRC32C: sum("0123456789")}, {PartNumber: aws.Int32(2), ETag: two.ETag, ChecksumCRC32C: sum("end")}}}}
		if change != nil {
			change(in)
		}
		return c.CompleteMultipartUpload(ctx, in)
	}
	for code, change := range map[string]func(*s3.CompleteMultipartUploadInput){
		"InvalidRequest":   func(in *s3.CompleteMultipartUploadInput) { in.MpuObjectSize = aws.Int64(12) },
		"BadDigest":        func(in *s3.CompleteMultipartUploadInput) { in.ChecksumCRC32C = sum("other") },
		"InvalidPartOrder": func(in *s3.CompleteMultipartUploadInput) { slices.Reverse(in.MultipartUpload.Parts) },
		"InvalidPart":      func(in *s3.CompleteMultipartUploadInput) { in.MultipartUpload.Parts[0].ETag = two.ETag },
		"NoSuchUpload":     func(in *s3.CompleteMultipartUploadInput) { in.UploadId = aws.String("x") },
	} {
		_, err := complete(change)
		refused(t, "complete", err, code)
	}
	if _, err := complete(nil); err != nil {
		t.Fatal(err)
	}
	_, err = c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.Bucket, Key: key})
	refused(t, "a head without the key", err, "BadRequest")
	_, err = c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.Bucket, Key: key, SSECustomerAlgorithm: alg, SSECustomerKey: wrong, SSECustomerKeyMD5: wrongSum})
	refused(t, "a head with another key", err, "Forbidden")
	got, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.Bucket, Key: key, SSECustomerAlgorithm: alg, SSECustomerKey: k, SSECustomerKeyMD5: m})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(got.Body)
	if err != nil || string(b) != "0123456789end" || got.Body.Close() != nil {
		t.Errorf("get: %q, %v", b, err)
	}
}

func TestSimulatorWantsWhatADirectoryBucketWants(t *testing.T) {
	s := transporttest.StartSimulator(t, transporttest.SimulatorOptions{Bucket: "dray--use1-az4--x-s3", MinPart: 1})
	c, ctx := sdk(t, s, nil), t.Context()
	create := func(key string, change func(*s3.CreateMultipartUploadInput)) (*s3.CreateMultipartUploadOutput, error) {
		in := &s3.CreateMultipartUploadInput{Bucket: &s.Bucket, Key: &key}
		if change != nil {
			change(in)
		}
		return c.CreateMultipartUpload(ctx, in)
	}
	u, err := create("dir/key", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.Requests(), []string{"session", "create"}; !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
	_, err = create("dir/key", func(in *s3.CreateMultipartUploadInput) { in.RequestPayer = types.RequestPayerRequester })
	refused(t, "RequestPayer", err, "NotImplemented")
	_, err = create("dir/key", func(in *s3.CreateMultipartUploadInput) { in.ExpectedBucketOwner = aws.String("000000000000") })
	refused(t, "another owner", err, "AccessDenied")
	_, err = c.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &s.Bucket, Prefix: aws.String("dir/key")})
	refused(t, "a prefix without a slash", err, "InvalidArgument")
	list, err := c.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &s.Bucket, Prefix: aws.String("dir/")})
	if err != nil || len(list.Uploads) != 1 {
		t.Errorf("list: %v, %v, want one upload", list, err)
	}
	_, err = create("dir/kms", func(in *s3.CreateMultipartUploadInput) { in.ServerSideEncryption = types.ServerSideEncryptionAwsKms })
	refused(t, "encryption that is not the session's", err, "InvalidRequest")
	s.ExpireSessions()
	_, err = create("late", nil)
	refused(t, "an expired session", err, "ExpiredToken")
	for _, n := range []int32{1, 3} {
		fresh := sdk(t, s, nil) // with a session of its own
		p, err := fresh.UploadPart(ctx, &s3.UploadPartInput{Bucket: &s.Bucket, Key: aws.String("dir/key"), UploadId: u.UploadId, PartNumber: &n, Body: strings.NewReader("x")},
			func(o *s3.Options) { o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired })
		if err != nil {
			t.Fatal(err)
		}
		_, err = fresh.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: &s.Bucket, Key: aws.String("dir/key"), UploadId: u.UploadId,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(3), ETag: p.ETag}}}})
		refused(t, "parts with a hole", err, "InvalidPartOrder")
	}
}

func TestSimulatorLetsNobodyInWhoSignsWrong(t *testing.T) {
	s := transporttest.StartSimulator(t, transporttest.SimulatorOptions{})
	in := &s3.CreateMultipartUploadInput{Bucket: &s.Bucket, Key: aws.String("key with ünicode/%41")}
	if _, err := sdk(t, s, nil).CreateMultipartUpload(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	for code, change := range map[string]func(*s3.Options){
		"InvalidURI": func(o *s3.Options) { o.UsePathStyle = true },
		"AuthorizationHeaderMalformed": func(o *s3.Options) {
			o.Region = "eu-west-1"
			o.BaseEndpoint = aws.String("https://s3.us-east-1.amazonaws.com")
		},
		"InvalidAccessKeyId": func(o *s3.Options) {
			o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "AKIAOTHER", SecretAccessKey: s.Keys.SecretAccessKey}, nil
			})
		},
		"SignatureDoesNotMatch": func(o *s3.Options) {
			o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: s.Keys.AccessKeyID, SecretAccessKey: "other"}, nil
			})
		},
	} {
		_, err := sdk(t, s, change).CreateMultipartUpload(t.Context(), in)
		refused(t, "signed wrong", err, code)
	}
	if got := s.Uploads(); got != 1 {
		t.Errorf("%d uploads were made, want the first one", got)
	}
}

func TestSimulatorIsReachedThroughItsTunnel(t *testing.T) {
	s := transporttest.StartSimulator(t, transporttest.SimulatorOptions{Bucket: "dray--use1-az4--x-s3"})
	via, err := url.Parse(s.Tunnel)
	if err != nil {
		t.Fatal(err)
	}
	c := sdk(t, s, func(o *s3.Options) {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(s.CAPEM)
		wire := &http.Transport{Proxy: http.ProxyURL(via), TLSClientConfig: &tls.Config{RootCAs: pool}, TLSHandshakeTimeout: 10 * time.Second}
		t.Cleanup(wire.CloseIdleConnections)
		o.HTTPClient = &http.Client{Transport: wire}
	})
	if _, err := c.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &s.Bucket}); err != nil {
		t.Error(err)
	}
}

func crc32c(body string) string {
	sum := crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}
