package build

import (
	"fmt"
	"strconv"
	"strings"
)

// modeChange is a --chmod: an octal number, or clauses as chmod(1) has them.
type modeChange struct {
	octal   int // -1: there are clauses
	clauses []modeClause
}

type modeClause struct {
	who  uint32 // the bits of the classes, 0o700 and so on
	op   byte
	bits string
}

// parseMode reads a --chmod; nil means that there is none.
func parseMode(text string) (*modeChange, error) {
	if text == "" {
		return nil, nil
	}
	bad := fmt.Errorf("invalid chmod parameter: '%v'. it should be octal string and between 0 and 07777", text)
	if n, err := strconv.ParseUint(text, 8, 32); err == nil {
		if n > 0o7777 {
			return nil, bad
		}
		return &modeChange{octal: int(n)}, nil
	}
	if strings.Trim(text, "0123456789") == "" {
		return nil, bad
	}
	m := &modeChange{octal: -1}
	for _, part := range strings.Split(text, ",") {
		i := strings.IndexAny(part, "+-=")
		if i < 0 {
			return nil, fmt.Errorf("invalid chmod parameter: '%v'", text)
		}
		who := uint32(0)
		for _, r := range part[:i] {
			switch r {
			case 'u':
				who |= 0o4700
			case 'g':
				who |= 0o2070
			case 'o':
				who |= 0o1007
			case 'a':
				who |= 0o7777
			default:
				return nil, fmt.Errorf("invalid chmod parameter: '%v'", text)
			}
		}
		if who == 0 {
			who = 0o7777
		}
		for rest := part[i:]; rest != ""; {
			op := rest[0]
			end := strings.IndexAny(rest[1:], "+-=")
			bits := rest[1:]
			if end >= 0 {
				bits = rest[1 : 1+end]
			}
			if strings.Trim(bits, "rwxXstugo") != "" {
				return nil, fmt.Errorf("invalid chmod parameter: '%v'", text)
			}
			m.clauses = append(m.clauses, modeClause{who, op, bits})
			rest = rest[1+len(bits):]
		}
	}
	return m, nil
}

// apply returns what a mode becomes.
func (m *modeChange) apply(mode uint32, dir bool) uint32 {
	if m.octal >= 0 {
		return uint32(m.octal)
	}
	for _, c := range m.clauses {
		var bits uint32
		for _, r := range c.bits {
			switch r {
			case 'r':
				bits |= 0o444
			case 'w':
				bits |= 0o222
			case 'x':
				bits |= 0o111
			case 'X':
				if dir || mode&0o111 != 0 {
					bits |= 0o111
				}
			case 's':
				bits |= 0o6000
			case 't':
				bits |= 0o1000
			case 'u':
				bits |= (mode >> 6 & 7) * 0o111
			case 'g':
				bits |= (mode >> 3 & 7) * 0o111
			case 'o':
				bits |= (mode & 7) * 0o111
			}
		}
		bits &= c.who
		switch c.op {
		case '+':
			mode |= bits
		case '-':
			mode &^= bits
		case '=':
			keep := ^c.who
			if dir {
				keep |= 0o6000 // chmod(1): a directory keeps them
			}
			mode = mode&keep | bits
		}
	}
	return mode & 0o7777
}
