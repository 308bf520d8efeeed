package engine

import (
	"strings"
	"testing"

	"github.com/seed-7270d448/dray/transport"
)

func TestDifferencesComparesOnlyWhatCanBeCompared(t *testing.T) {
	id := map[string]string{"dray-stream": "gps", "dray-epoch": "e", "dray-start": "7", "dray-device": "gw"}
	r := Receipt{Stream: "gps", Epoch: "e", Start: 7, End: 12, Size: 5, Checksum: "crc32c:AAAAAA==", ETag: `"1"`}
	for _, tt := range []struct {
		name string
		s    transport.Stored
		want string // in the first difference; empty: none
		weak bool
	}{
		{"same", transport.Stored{Size: 5, Checksum: r.Checksum, Metadata: id}, "", false},
		{"another ETag", transport.Stored{Size: 5, Checksum: r.Checksum, ETag: `"2"`, Metadata: id}, "", false},
		{"no checksum", transport.Stored{Size: 5, Metadata: id}, "", true},
		{"another type of checksum", transport.Stored{Size: 5, Checksum: "sha256:AAAA", Metadata: id}, "", true},
		{"a composite checksum", transport.Stored{Size: 5, Checksum: "crc32c:BBBBBB==-2", Metadata: id}, "", true},
		{"another checksum", transport.Stored{Size: 5, Checksum: "crc32c:BBBBBB==", Metadata: id}, "checksum is crc32c:BBBBBB==", false},
		{"another size", transport.Stored{Size: 6, Checksum: r.Checksum, Metadata: id}, "size is 6, the receipt says 5", false},
		{"no metadata", transport.Stored{Size: 5, Checksum: r.Checksum}, "metadata dray-stream is absent, the receipt says gps", false},
		{"another place", transport.Stored{Size: 5, Checksum: r.Checksum, Metadata: map[string]string{"dray-stream": "gps", "dray-epoch": "e", "dray-start": "8"}},
			"metadata dray-start is 8, the receipt says 7", false},
	} {
		why, weak := differences(r, tt.s)
		if got := strings.Join(why, "; "); (got == "") != (tt.want == "") || !strings.HasPrefix(got, tt.want) || weak != tt.weak {
			t.Errorf("%s: got %q, weak %v; want %q, %v", tt.name, got, weak, tt.want, tt.weak)
		}
	}
}
