package s3

import (
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/seed-7270d448/dray/transport/transporttest"
)

func TestEveryLineOfTheReferenceIsHandledAndTested(t *testing.T) {
	known := transporttest.CheckTable(t, "# CompleteMultipartUpload, line by line", 50)
	// What the SDK can send, the reference names, save for algorithms that are
	// younger than it and that Dray does not use.
	younger := map[string]bool{"ChecksumMD5": true, "ChecksumSHA512": true, "ChecksumXXHASH3": true, "ChecksumXXHASH64": true, "ChecksumXXHASH128": true}
	for _, of := range []reflect.Type{reflect.TypeFor[s3.CompleteMultipartUploadInput](), reflect.TypeFor[types.CompletedPart]()} {
		for i := range of.NumField() {
			if f := of.Field(i); f.IsExported() && !known[f.Name] && !younger[f.Name] {
				t.Errorf("%s.%s has no row", of.Name(), f.Name)
			}
		}
	}
}
