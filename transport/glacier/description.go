package glacier

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-7270d448/dray/transport"
)

// maxDescription is what Glacier takes of an archive's description, in
// characters of printable ASCII.
const maxDescription = 1024

const descriptionMark = "dray1"

// describe makes an archive's description of what the engine calls key and
// metadata, for a vault keeps nothing else: a mark, then a pair for the key and
// each item of metadata, sorted, with blanks between. What would make that
// ambiguous is percent-encoded.
//
//	dray1 key=gw-17/gps/2026/… dray-device=gw-17 dray-epoch=… dray-start=0 …
func describe(o transport.Object) (string, error) {
	var b strings.Builder
	b.WriteString(descriptionMark + " key=" + encode(o.Key))
	for _, name := range slices.Sorted(maps.Keys(o.Metadata)) {
		b.WriteString(" " + name + "=" + encode(o.Metadata[name]))
	}
	if n := b.Len(); n > maxDescription {
		return "", fmt.Errorf("archive description of %d characters: must be at most %d; shorten the key template or the device's name", n, maxDescription)
	}
	return b.String(), nil
}

var errDescription = errors.New("not a description that Dray made")

// parseDescription is describe the other way round.
func parseDescription(text string) (o transport.Object, err error) {
	rest, ok := strings.CutPrefix(text, descriptionMark+" ")
	if !ok || len(text) > maxDescription {
		return o, errDescription
	}
	o.Size, o.Metadata = -1, map[string]string{}
	for i, pair := range strings.Split(rest, " ") {
		name, value, ok := strings.Cut(pair, "=")
		plain, valid := decode(value)
		switch {
		case !ok || !valid || (name == "key") != (i == 0):
			return o, errDescription
		case i == 0:
			o.Key = plain
		default:
			if _, twice := o.Metadata[name]; twice || name == "" {
				return o, errDescription
			}
			o.Metadata[name] = plain
		}
	}
	if o.Check() != nil {
		return o, errDescription
	}
	return o, nil
}

// encode writes what is not printable ASCII, blanks and the percent sign as
// their bytes in hexadecimal.
func encode(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// decode undoes encode, and takes nothing that encode would not have written.
func decode(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if len(s)-i < 3 {
			return "", false
		}
		c, err := hex.DecodeString(s[i+1 : i+3])
		if err != nil {
			return "", false
		}
		b.Write(c)
		i += 2
	}
	return b.String(), encode(b.String()) == s
}
