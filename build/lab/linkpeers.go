package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/seed-7270d448/dray/transport/transporttest"
)

// A peer is another program that sends files to S3, told to try for as long as it
// can be told to. Its pauses cannot be shortened as Dray's are.
type peer struct {
	name    string
	command func(ctx context.Context, g *transporttest.Gateway, endpoint, from, to string) *exec.Cmd
}

var peers = []peer{
	{"aws-cli", func(ctx context.Context, g *transporttest.Gateway, endpoint, from, to string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program("aws"), "s3", "cp", "--only-show-errors", "--recursive", "--endpoint-url", endpoint, from, fmt.Sprintf("s3://%s/%s/", g.Bucket, to))
		cmd.Env = append(os.Environ(), "AWS_CA_BUNDLE="+g.CAFile, "AWS_MAX_ATTEMPTS=1000", "AWS_EC2_METADATA_DISABLED=true")
		return cmd
	}},
	{"rclone", func(ctx context.Context, g *transporttest.Gateway, endpoint, from, to string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program("rclone"), "copy", "--ca-cert", g.CAFile, "--retries", "1000", "--retries-sleep", "100ms", "--low-level-retries", "1000",
			from, fmt.Sprintf(":s3:%s/%s", g.Bucket, to),
			"--s3-provider", "Other", "--s3-endpoint", endpoint, "--s3-region", g.Region, "--s3-env-auth", "--s3-no-check-bucket")
		cmd.Env = append(os.Environ(), "RCLONE_CONFIG=/dev/null", "AWS_CA_BUNDLE=") // its own flag does it
		return cmd
	}},
	{"s5cmd", func(ctx context.Context, g *transporttest.Gateway, endpoint, from, to string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program("s5cmd"), "--endpoint-url", endpoint, "--no-verify-ssl", "--retry-count", "1000", "cp", from+"/", fmt.Sprintf("s3://%s/%s/", g.Bucket, to))
		cmd.Env = os.Environ()
		return cmd
	}},
}

// program prefers a system's package to a shim of the same name.
func program(name string) string {
	if p := filepath.Join("/usr/bin", name); exists(p) {
		return p
	}
	return name
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// there says whether the program can be had.
func (p peer) there() bool {
	cmd := p.command(context.Background(), &transporttest.Gateway{}, "", "", "")
	_, err := exec.LookPath(cmd.Path)
	return err == nil
}

// send lets the program try until it has done, or ctx ends it.
func (p peer) send(ctx context.Context, g *transporttest.Gateway, endpoint, from, to string) {
	cmd := p.command(ctx, g, endpoint, from, to)
	cmd.Env = append(cmd.Env, "AWS_ACCESS_KEY_ID="+g.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+g.SecretAccessKey, "AWS_REGION="+g.Region, "AWS_DEFAULT_REGION="+g.Region)
	_ = cmd.Run() // what it got through is what counts
}
