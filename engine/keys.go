package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of a key. 1,024 bytes is what S3 takes; 255 is what file systems take
// of a name, and a destination or a later copy of the archive may be one.
const (
	maxKey     = 1024
	maxKeyName = 255
)

// keyWords are the words that a template may hold between braces. Each has one
// width for a given stream, so that keys of a stream sort by time and start.
var keyWords = []string{"device", "stream", "epoch", "start", "yyyy", "mm", "dd", "hh"}

// A keyTemplate makes object keys.
//
// Why no two objects share a key: the template holds {epoch} and {start}, both
// of fixed width, so each can be read back from the key at its place. An epoch
// is random and belongs to one state folder, hence to one device; within it a
// stream never uses an offset twice, and an object begins at one. A slice begins
// where the whole did, or another slice of it; so its keys are longer than those
// of whole objects, and hold its end too (ofSlice). What remains are two streams
// of one device; Check refuses templates that could then meet (keysCanMeet),
// which those that hold {stream} do not.
type keyTemplate struct {
	parts []keyPart
}

// A keyPart is literal text, or a word if word is not empty.
type keyPart struct{ text, word string }

// parseKey reads a template. Its error is a *ConfigError without a Field.
func parseKey(template string) (keyTemplate, error) {
	fail := func(hint, format string, args ...any) (keyTemplate, error) {
		return keyTemplate{}, &ConfigError{Problem: fmt.Sprintf(format, args...), Hint: hint}
	}
	if template == "" {
		return fail("for example "+DefaultKey, "key template is empty")
	}
	if len(template) > maxKey {
		return fail(fmt.Sprintf("use at most %d bytes", maxKey), "key template of %d bytes is too long", len(template))
	}
	if !utf8.ValidString(template) {
		return fail("write it in UTF-8", "key template %q is not valid UTF-8", template)
	}
	if i := strings.IndexFunc(template, unicode.IsControl); i >= 0 {
		return fail("take it out", "key template %q has a control character at byte %d", template, i+1)
	}

	var k keyTemplate
	var shape strings.Builder // the template with each word as one letter
	for rest := template; rest != ""; {
		text, after, found := strings.Cut(rest, "{")
		if strings.Contains(text, "}") {
			return fail("braces only enclose words, as in {start}", "key template %q has a } without its {", template)
		}
		if text != "" {
			k.parts = append(k.parts, keyPart{text: text})
			shape.WriteString(text)
		}
		if !found {
			break
		}
		word, next, closed := strings.Cut(after, "}")
		if !closed {
			return fail("braces only enclose words, as in {start}", "key template %q has a { without its }", template)
		}
		if !slices.Contains(keyWords, word) {
			return fail(meantWord(word), "key template %q: {%s} is not known", template, word)
		}
		k.parts = append(k.parts, keyPart{word: word})
		shape.WriteByte('x')
		rest = next
	}

	for _, name := range strings.Split(shape.String(), "/") {
		switch name {
		case "":
			return fail("take the extra / away", "key template %q begins or ends with /, or has // in it: servers clean or refuse such keys", template)
		case ".", "..":
			return fail("leave that folder out", "key template %q has a folder named %q: servers clean or refuse such keys", template, name)
		}
	}
	for _, need := range []string{"epoch", "start"} {
		if !k.has(need) {
			return fail("put {epoch} and {start} into it, for example "+DefaultKey,
				"key template %q lacks {%s}: two objects could have one key", template, need)
		}
	}
	return k, nil
}

// ofSlice returns the template of the keys of slices: the end follows the start.
func (k keyTemplate) ofSlice() (s keyTemplate) {
	for _, p := range k.parts {
		s.parts = append(s.parts, p)
		if p.word == "start" {
			s.parts = append(s.parts, keyPart{text: "-"}, keyPart{word: "end"})
		}
	}
	return s
}

// Execute returns the key of the object [start, end) of stream whose first byte
// was captured at the time at. epoch is 16 hex digits.
//
// In a device's name every byte but A-Z a-z 0-9 . _ - becomes %XX, dots too
// where there is nothing else, and an empty name becomes %: so different
// devices stay different, and a name never makes a folder. Years beyond 0 to
// 9999 are held at that bound, for a clock may say anything.
func (k keyTemplate) Execute(device, stream, epoch string, start, end int64, at time.Time) string {
	at = at.UTC()
	var b strings.Builder
	for _, p := range k.parts {
		switch p.word {
		case "":
			b.WriteString(p.text)
		case "device":
			b.WriteString(keyDevice(device))
		case "stream":
			b.WriteString(stream)
		case "epoch":
			b.WriteString(epoch)
		case "start":
			fmt.Fprintf(&b, "%020d", start)
		case "end":
			fmt.Fprintf(&b, "%020d", end)
		case "yyyy":
			fmt.Fprintf(&b, "%04d", min(max(at.Year(), 0), 9999))
		case "mm":
			fmt.Fprintf(&b, "%02d", at.Month())
		case "dd":
			fmt.Fprintf(&b, "%02d", at.Day())
		case "hh":
			fmt.Fprintf(&b, "%02d", at.Hour())
		}
	}
	return b.String()
}

// checkSize returns a *ConfigError without a Field if the keys of stream on
// device are too long. Their length is the same for every object, and every slice.
func (k keyTemplate) checkSize(device, stream string) error {
	key := k.ofSlice().Execute(device, stream, "0123456789abcdef", 0, 0, time.Time{})
	if len(key) > maxKey {
		return &ConfigError{Problem: fmt.Sprintf("keys have %d bytes, more than %d", len(key), maxKey), Hint: "shorten the template or the device's name"}
	}
	for name := range strings.SplitSeq(key, "/") {
		if len(name) > maxKeyName {
			return &ConfigError{
				Problem: fmt.Sprintf("keys have a name of %d bytes between slashes, more than %d", len(name), maxKeyName),
				Hint:    "shorten the template or the device's name, or put a / between",
			}
		}
	}
	return nil
}

func (k keyTemplate) has(word string) bool {
	return slices.ContainsFunc(k.parts, func(p keyPart) bool { return p.word == word })
}

// Marks in a pattern, for a byte that varies from object to object. As control
// characters they cannot be in a template.
const (
	anyDigit = "\x00"
	anyHex   = "\x01"
)

// pattern returns the keys of stream with each varying byte as a mark.
func (k keyTemplate) pattern(device, stream string) string {
	var b strings.Builder
	for _, p := range k.parts {
		switch p.word {
		case "", "device", "stream":
			one := keyTemplate{parts: []keyPart{p}}
			b.WriteString(one.Execute(device, stream, "", 0, 0, time.Time{}))
		case "epoch":
			b.WriteString(strings.Repeat(anyHex, 16))
		case "start", "end":
			b.WriteString(strings.Repeat(anyDigit, 20))
		case "yyyy":
			b.WriteString(strings.Repeat(anyDigit, 4))
		default:
			b.WriteString(strings.Repeat(anyDigit, 2))
		}
	}
	return b.String()
}

// canMeet says whether an object or slice of the one stream could have a key
// that one of the other has.
func (k keyTemplate) canMeet(device, stream string, other keyTemplate, otherStream string) bool {
	for _, a := range []keyTemplate{k, k.ofSlice()} {
		for _, b := range []keyTemplate{other, other.ofSlice()} {
			if keysCanMeet(a.pattern(device, stream), b.pattern(device, otherStream)) {
				return true
			}
		}
	}
	return false
}

// keysCanMeet says whether some key of pattern a could equal one of pattern b.
func keysCanMeet(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if !bytesCanMeet(a[i], b[i]) {
			return false
		}
	}
	return true
}

func bytesCanMeet(x, y byte) bool {
	if x > y {
		x, y = y, x
	}
	switch {
	case x == y || y <= anyHex[0]:
		return true
	case x == anyDigit[0]:
		return '0' <= y && y <= '9'
	case x == anyHex[0]:
		return '0' <= y && y <= '9' || 'a' <= y && y <= 'f'
	}
	return false
}

// keyDevice returns device as it stands in keys; see Execute.
func keyDevice(device string) string {
	if device == "" {
		return "%"
	}
	onlyDots := strings.Trim(device, ".") == ""
	var b strings.Builder
	for i := range len(device) {
		c := device[i]
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_', c == '-', c == '.' && !onlyDots:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// otherWords are what people write for the words that there are.
var otherWords = map[string]string{
	"year": "yyyy", "month": "mm", "day": "dd", "hour": "hh",
	"host": "device", "hostname": "device", "name": "stream", "offset": "start",
}

// meantWord returns a hint for a word that is not known.
func meantWord(word string) string {
	lower := strings.ToLower(word)
	best, least := otherWords[lower], 3 // further off than two letters is another word
	if best == "" {
		for _, w := range keyWords {
			if d := editDistance(lower, w); d < min(least, len(w)) {
				best, least = w, d
			}
		}
	}
	if best == "" {
		return "known are {" + strings.Join(keyWords, "} {") + "}"
	}
	return "did you mean {" + best + "}?"
}

// editDistance counts the letters to insert, delete or replace between a and b;
// of long words it looks at the beginning only.
func editDistance(a, b string) int {
	a, b = a[:min(len(a), 32)], b[:min(len(b), 32)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
