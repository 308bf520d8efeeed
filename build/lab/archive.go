package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed-7270d448/dray/transport/transporttest"
)

// An object is one that the archive holds, as anybody can see it.
type object struct {
	key        string
	file       string // where its bytes are
	start, end int64  // of the stream
	gap        int64  // bytes that its metadata says are lost before it
	hasMeta    bool
}

// objects returns what the archive holds, in key order.
func (r *rig) objects(ctx context.Context) ([]object, error) {
	if r.vault != nil {
		return vaultObjects(r.vault)
	}
	dir := r.archiveDir()
	if r.gateway != nil {
		dir = r.gateway.BucketDir
	}
	var list []object
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != dir && strings.HasPrefix(d.Name(), ".") { // uploads that are not finished
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		key, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		o := object{key: filepath.ToSlash(key), file: path}
		// stream-epoch-start.log
		name := strings.Split(strings.TrimSuffix(d.Name(), ".log"), "-")
		if o.start, err = strconv.ParseInt(name[len(name)-1], 10, 64); err != nil {
			return fmt.Errorf("%s: the key does not end in a start", key)
		}
		o.end = o.start + fi.Size()
		list = append(list, o) // WalkDir goes in lexical order; all keys are in one folder
		return nil
	})
	if err != nil || r.gateway == nil {
		return list, err
	}
	client := r.client()
	for i := range list {
		o := &list[i]
		head, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &r.gateway.Bucket, Key: &o.key})
		if err != nil {
			return nil, err
		}
		if err := o.read(head.Metadata); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// read takes over what the object's metadata says.
func (o *object) read(meta map[string]string) error {
	o.hasMeta = true
	start, err := strconv.ParseInt(meta["dray-start"], 10, 64)
	if err != nil || start != o.start {
		return fmt.Errorf("%s: dray-start is %q, the key says %d", o.key, meta["dray-start"], o.start)
	}
	if meta["dray-stream"] != streamName || meta["dray-epoch"] == "" || !strings.Contains(o.key, meta["dray-epoch"]) {
		return fmt.Errorf("%s: metadata does not fit its key: %v", o.key, meta)
	}
	if gap, ok := meta["dray-gap"]; ok {
		if o.gap, err = strconv.ParseInt(gap, 10, 64); err != nil {
			return fmt.Errorf("%s: dray-gap is %q", o.key, gap)
		}
	}
	return nil
}

// client is an S3 client of the lab's own, straight to the server.
func (r *rig) client() *s3.Client { return directClient(r.gateway) }

func directClient(g *transporttest.Gateway) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: &g.Endpoint,
		Region:       g.Region,
		UsePathStyle: true,
		Credentials: aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: g.AccessKeyID, SecretAccessKey: g.SecretAccessKey}, nil
		})),
	})
}

// leftUploads returns the keys of uploads that nobody finished.
func (r *rig) leftUploads(ctx context.Context) ([]string, error) {
	if r.vault != nil {
		return r.vault.Uploads(), nil
	}
	if r.gateway == nil {
		return nil, nil
	}
	var keys []string
	pages := s3.NewListMultipartUploadsPaginator(r.client(), &s3.ListMultipartUploadsInput{Bucket: &r.gateway.Bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, u := range page.Uploads {
			keys = append(keys, aws.ToString(u.Key))
		}
	}
	return keys, nil
}

// checkTiles checks that objects tile the stream: none overlaps, and what lies
// between two is what the second one's metadata says is lost. It returns the
// holes and the bytes archived.
func checkTiles(out *report, objects []object) (holes []extent, bytes int64) {
	var end int64
	for _, o := range objects {
		bytes += o.end - o.start
		switch {
		case o.start < end:
			out.violation("%s begins at %d, inside the object before it, which ends at %d", o.key, o.start, end)
		case o.start > end:
			holes = append(holes, extent{end, o.start})
		}
		if o.hasMeta && o.start-end > o.gap {
			out.violation("%s: %d bytes are missing before it, its dray-gap says %d", o.key, o.start-end, o.gap)
		}
		end = o.end
	}
	return holes, bytes
}

// An extent is the bytes of the stream from start up to, not including, end.
type extent struct{ start, end int64 }

// readAll passes the bytes of the objects through w, in order.
func readAll(w io.Writer, objects []object) error {
	for _, o := range objects {
		f, err := os.Open(o.file)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("read %s: %w", o.key, err)
		}
	}
	return nil
}
