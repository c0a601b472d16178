package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// encodeJSON writes v as JSON and a newline. Unlike the standard library it
// also escapes DEL and the C1 controls, which JSON allows in strings and which
// terminals obey. https://www.rfc-editor.org/rfc/rfc8259#section-7
func encodeJSON(w io.Writer, v any, indent string, escapeHTML bool) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(escapeHTML)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(escapeJSON(b.Bytes()))
	return err
}

// escapeJSON escapes U+007F to U+009F in a JSON text. They can stand nowhere but
// within a string, so the text need not be parsed.
func escapeJSON(text []byte) []byte {
	var b bytes.Buffer
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == 0x7f:
			b.WriteString(`\u007f`)
		case text[i] == 0xc2 && i+1 < len(text) && text[i+1] < 0xa0: // UTF-8 of U+0080 to U+009F
			i++
			fmt.Fprintf(&b, `\u00%02x`, text[i])
		default:
			b.WriteByte(text[i])
		}
	}
	return b.Bytes()
}
