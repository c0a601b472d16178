package unit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Split takes a value apart into words as systemd does (systemd.service(5),
// "Command lines"): blanks part, quotes of both kinds join, a backslash begins
// one of C's escapes.
func Split(value string) ([]string, error) {
	var words []string
	var b strings.Builder
	var quote byte
	inWord := false
	for i := 0; i < len(value); i++ {
		c := value[i]
		switch {
		case c == '\\':
			text, n, err := unescape(value[i+1:])
			if err != nil {
				return nil, err
			}
			b.WriteString(text)
			i += n
			inWord = true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			b.WriteByte(c)
		case c == '"' || c == '\'':
			quote, inWord = c, true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			if inWord {
				words = append(words, b.String())
				b.Reset()
				inWord = false
			}
		default:
			b.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("the quote %c is not closed", quote)
	}
	if inWord {
		words = append(words, b.String())
	}
	return words, nil
}

var simpleEscapes = map[byte]string{
	'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v", '\\': `\`, '"': `"`, '\'': "'", 's': " ", ';': ";",
}

// unescape reads what stands behind a backslash and returns its length.
func unescape(s string) (text string, n int, err error) {
	if s == "" {
		return "", 0, errors.New("a backslash at the end escapes nothing")
	}
	if text, ok := simpleEscapes[s[0]]; ok {
		return text, 1, nil
	}
	digits, base, skip := 0, 16, 1
	switch c := s[0]; {
	case c == 'x':
		digits = 2
	case c == 'u':
		digits = 4
	case c == 'U':
		digits = 8
	case c >= '0' && c <= '7':
		digits, base, skip = 3, 8, 0
	default:
		// What systemd does not know it leaves as it is.
		return `\`, 0, nil
	}
	if len(s) < skip+digits {
		return "", 0, fmt.Errorf(`the escape \%s is too short`, s)
	}
	v, err := strconv.ParseUint(s[skip:skip+digits], base, 32)
	switch {
	case err != nil || v == 0 || digits < 4 && v > 255:
		return "", 0, fmt.Errorf(`invalid escape \%s`, s[:skip+digits])
	case digits < 4:
		return string([]byte{byte(v)}), skip + digits, nil
	case !utf8.ValidRune(rune(v)):
		return "", 0, fmt.Errorf(`invalid escape \%s`, s[:skip+digits])
	}
	return string(rune(v)), skip + digits, nil
}

// Quote writes a word so that Split and systemd read it as just that word.
// Dollar and percent signs stay what they are to systemd, which Literal changes.
func Quote(word string) string {
	plain := word != ""
	for i := 0; i < len(word) && plain; i++ {
		c := word[i]
		plain = c > ' ' && c != '"' && c != '\'' && c != '\\' && c != 0x7f
	}
	if plain && word != ";" {
		return word
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(word); i++ {
		switch c := word[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// QuoteAll is a command line of words.
func QuoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = Quote(w)
	}
	return strings.Join(quoted, " ")
}

// Literal doubles what systemd would expand in a command line: variables and
// specifiers.
func Literal(word string) string {
	return strings.NewReplacer("$", "$$", "%", "%%").Replace(word)
}

// Directory writes a path where systemd wants one as it is, without quotes: only
// specifiers are expanded there.
func Directory(path string) string { return strings.ReplaceAll(path, "%", "%%") }
