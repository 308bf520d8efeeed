package glacier

import (
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/glacier"

	"github.com/seed-7270d448/dray/transport/transporttest"
)

func TestEveryLineOfTheReferenceIsHandledAndTested(t *testing.T) {
	known := transporttest.CheckTable(t, "# Complete, line by line", 35)
	for _, of := range []reflect.Type{reflect.TypeFor[glacier.CompleteMultipartUploadInput](), reflect.TypeFor[glacier.CompleteMultipartUploadOutput]()} {
		for i := range of.NumField() {
			if f := of.Field(i); f.IsExported() && f.Name != "ResultMetadata" && !known[f.Name] {
				t.Errorf("%s.%s has no row", of.Name(), f.Name)
			}
		}
	}
}
