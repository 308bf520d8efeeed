package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed-7270d448/dray/transport/transporttest"
)

// A subject is a program to measure.
type subject interface {
	name() string
	program(r *rig) string
	piped() bool // it reads the input from a pipe, and what it reads besides is its own
	// command returns what sends the input to the server; work is its folder.
	command(ctx context.Context, r *rig, g *transporttest.Gateway, work string) (*exec.Cmd, error)
}

// dray reads a pipe, keeps every byte on disk, and sends parts of partSize.
type dray struct {
	partSize byteSize
	checksum string // empty: as it is if nobody says
}

func (d dray) name() string {
	name := "dray, parts of " + d.partSize.String()
	if d.checksum != "" {
		name += ", " + d.checksum
	}
	return name
}

func (dray) program(r *rig) string { return r.dray }
func (dray) piped() bool           { return true }

func (d dray) command(ctx context.Context, r *rig, g *transporttest.Gateway, work string) (*exec.Cmd, error) {
	more := ""
	if g.CAFile != "" {
		more = "\n    ca_file: " + g.CAFile
	}
	if d.checksum != "" {
		more += "\n    checksum: " + d.checksum
	}
	archive := fmt.Sprintf(`type: s3
    endpoint: %s
    path_style: true
    region: %s
    bucket: %s%s`, g.Endpoint, g.Region, g.Bucket, more)
	return d.carry(ctx, r, archive, keys(g.AccessKeyID, g.SecretAccessKey), work)
}

// carry returns what sends the input to an archive, as the config describes it.
func (d dray) carry(ctx context.Context, r *rig, archive string, keys []string, work string) (*exec.Cmd, error) {
	config := filepath.Join(work, "dray.yaml")
	const mib = 1 << 20
	object := (r.size+mib-1)/mib + 1 // all in one object
	text := fmt.Sprintf(`device: bench
state_dir: %s
spool: {max_bytes: %dMiB, min_free: 1MiB, when_full: block}
streams:
  - name: pipe
    source: {type: stdin}
    object: {max_bytes: %dMiB, part_size: %s}
    destination: archive
destinations:
  - name: archive
    %s
`, filepath.Join(work, "state"), object+object/8+64, object, d.partSize.String(), archive)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, r.dray, "run", "--drain", "-c", config)
	cmd.Env = append(os.Environ(), keys...)
	cmd.Env = append(cmd.Env, "RUNTIME_DIRECTORY=", "NOTIFY_SOCKET=")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	go func() {
		// If it fails, dray has ended, and too few bytes will have arrived.
		_ = writeInput(in, r.size)
		_ = in.Close()
	}()
	return cmd, nil
}

// curl sends a file in one request without any checksum: the floor.
type curl struct{}

func (curl) name() string        { return "curl, one PUT" }
func (curl) program(*rig) string { return "curl" }
func (curl) piped() bool         { return false }

func (curl) command(ctx context.Context, r *rig, g *transporttest.Gateway, _ string) (*exec.Cmd, error) {
	client := s3.NewPresignClient(s3.New(s3.Options{
		BaseEndpoint: &g.Endpoint, Region: g.Region, UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: g.AccessKeyID, SecretAccessKey: g.SecretAccessKey}, nil
		}),
	}))
	signed, err := client.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: &g.Bucket, Key: aws.String("input")}, s3.WithPresignExpires(time.Hour))
	if err != nil {
		return nil, err
	}
	args := []string{"--silent", "--show-error", "--fail", "--upload-file", r.file, "--header", "Expect:"}
	if g.CAFile != "" {
		args = append(args, "--cacert", g.CAFile)
	}
	return exec.CommandContext(ctx, "curl", append(args, signed.URL)...), nil
}

// s5cmd sends a file in parts, five at a time, from memory.
type s5cmd struct{}

func (s5cmd) name() string        { return "s5cmd cp" }
func (s5cmd) program(*rig) string { return "s5cmd" }
func (s5cmd) piped() bool         { return false }

func (s5cmd) command(ctx context.Context, r *rig, g *transporttest.Gateway, _ string) (*exec.Cmd, error) {
	args := []string{"--endpoint-url", g.Endpoint}
	if g.CAFile != "" {
		args = append(args, "--no-verify-ssl")
	}
	cmd := exec.CommandContext(ctx, "s5cmd", append(args, "cp", r.file, "s3://"+g.Bucket+"/input")...)
	cmd.Env = append(os.Environ(), keys(g.AccessKeyID, g.SecretAccessKey)...)
	cmd.Env = append(cmd.Env, "AWS_REGION="+g.Region)
	return cmd, nil
}

// keys are the server's credentials as environment variables.
func keys(id, secret string) []string {
	return []string{"AWS_ACCESS_KEY_ID=" + id, "AWS_SECRET_ACCESS_KEY=" + secret}
}
