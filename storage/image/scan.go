package image

import (
	"bytes"
	"iter"
)

// Elements returns the values of a file of records, each as its bytes, without
// decoding them: who rewrites the file copies most of it.
func Elements(array []byte) iter.Seq[[]byte] { return elements(array) }

// Field returns the string of a key of a record, "" when it has none or one with
// escapes in it.
func Field(object []byte, key string) string {
	for name, value := range members(object) {
		if name == key {
			text, _ := plainString(value)
			return text
		}
	}
	return ""
}

// Fields is Field for two keys at once.
func Fields(object []byte, first, second string) (a, b string) {
	for name, value := range members(object) {
		switch name {
		case first:
			a, _ = plainString(value)
		case second:
			b, _ = plainString(value)
		}
	}
	return a, b
}

// elements returns the values of a JSON array, each as its bytes. It trusts the
// writer: what is not an array has no elements, and each value is checked only
// when it is decoded.
func elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		rest, ok := bytes.CutPrefix(trimSpace(array), []byte{'['})
		for ok {
			value, after := cutValue(rest)
			if len(value) == 0 || !yield(value) {
				return
			}
			rest, ok = bytes.CutPrefix(trimSpace(after), []byte{','})
		}
	}
}

// members returns the keys and values of a JSON object. A key with an escape
// in it is passed over: we have none.
func members(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		rest, ok := bytes.CutPrefix(trimSpace(object), []byte{'{'})
		for ok {
			name, after := cutValue(rest)
			colon, found := bytes.CutPrefix(trimSpace(after), []byte{':'})
			value, after := cutValue(colon)
			if !found || len(value) == 0 {
				return
			}
			if key, plain := plainString(name); plain && !yield(key, value) {
				return
			}
			rest, ok = bytes.CutPrefix(trimSpace(after), []byte{','})
		}
	}
}

// plainString returns the text of a JSON string without escapes.
func plainString(value []byte) (string, bool) {
	if len(value) < 2 || value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return "", false
	}
	return string(value[1 : len(value)-1]), true
}

// cutValue splits data after its first JSON value; value is empty when there is
// none.
func cutValue(data []byte) (value, rest []byte) {
	data = trimSpace(data)
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i += stringLength(data[i:]) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 {
				return data[:i], data[i:]
			}
			depth--
		case ',', ':', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return data[:i], data[i:]
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			end := min(i+1, len(data))
			return data[:end], data[end:]
		}
	}
	return data, nil
}

// stringLength returns the length of the JSON string that data begins with,
// quotes included.
func stringLength(data []byte) int {
	for i := 1; i < len(data); {
		next := bytes.IndexByte(data[i:], '"')
		if next < 0 {
			break
		}
		i += next
		// An odd number of backslashes in front makes it a character of the text.
		before := i
		for before > 1 && data[before-1] == '\\' {
			before--
		}
		i++
		if (i-1-before)%2 == 0 {
			return i
		}
	}
	return len(data)
}

func trimSpace(data []byte) []byte {
	if len(data) == 0 || data[0] > ' ' { // nearly always
		return data
	}
	return bytes.TrimLeft(data, " \t\r\n")
}
