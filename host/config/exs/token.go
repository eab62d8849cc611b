package exs

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// kind is a sort of token.
type kind int

const (
	end     kind = iota // of the script
	newline             // or a semicolon
	word                // config, System, do
	atom                // :a
	key                 // a: in a keyword list
	text                // "a"
	number              // 1_000, 0xff, 1.5e3
	sign                // , . => ( and everything else
	foreign             // a sigil, a charlist, a heredoc, a text with #{…}
)

// token is a word of the script.
type token struct {
	kind kind
	text string // without quotes and escapes
	line int
}

// scanner cuts a script into tokens.
type scanner struct {
	rest string
	line int
}

var errUnclosed = errors.New("a quote that's never closed")

// scan gives all tokens; the last is an end. An error is about the last line.
func scan(src string) ([]token, error) {
	s := &scanner{rest: src, line: 1}
	var all []token
	for {
		t, err := s.next()
		if err != nil {
			return append(all, token{end, "", s.line}), err
		}
		if t.kind == newline && len(all) > 0 && all[len(all)-1].kind == newline {
			continue
		}
		all = append(all, t)
		if t.kind == end {
			return all, nil
		}
	}
}

func (s *scanner) next() (token, error) {
	s.blank()
	at := s.line
	if s.rest == "" {
		return token{end, "", at}, nil
	}
	r, _ := utf8.DecodeRuneInString(s.rest)
	switch {
	case r == '\n' || r == ';':
		s.take(1)
		return token{newline, "", at}, nil
	case strings.HasPrefix(s.rest, `"""`), strings.HasPrefix(s.rest, `'''`):
		return s.heredoc()
	case r == '"' || r == '\'':
		return s.quote(byte(r))
	case r == ':' && len(s.rest) > 1 && (s.rest[1] == '"' || isLetter(s.rest[1:])):
		return s.atom()
	case r == '~' && len(s.rest) > 1 && isLetter(s.rest[1:]):
		return s.sigil()
	case r >= '0' && r <= '9':
		return token{number, s.take(numberLength(s.rest)), at}, nil
	case isLetter(s.rest):
		return s.word(), nil
	}
	return token{sign, s.take(signLength(s.rest)), at}, nil
}

// blank skips spaces, comments, and line ends after a backslash.
func (s *scanner) blank() {
	for s.rest != "" {
		switch {
		case s.rest[0] == ' ' || s.rest[0] == '\t' || s.rest[0] == '\r':
			s.take(1)
		case s.rest[0] == '#':
			n := strings.IndexByte(s.rest, '\n')
			if n < 0 {
				n = len(s.rest)
			}
			s.take(n)
		case strings.HasPrefix(s.rest, "\\\n"):
			s.take(2)
		default:
			return
		}
	}
}

func (s *scanner) take(n int) string {
	taken := s.rest[:n]
	s.line += strings.Count(taken, "\n")
	s.rest = s.rest[n:]
	return taken
}

// word is a name, or a key where a colon and a space follow.
func (s *scanner) word() token {
	at := s.line
	name := s.take(wordLength(s.rest))
	if strings.HasPrefix(s.rest, ":") && !strings.HasPrefix(s.rest, "::") && (len(s.rest) == 1 || strings.ContainsRune(" \t\r\n", rune(s.rest[1]))) {
		s.take(1)
		return token{key, name, at}
	}
	return token{word, name, at}
}

func (s *scanner) atom() (token, error) {
	at := s.line
	s.take(1)
	if s.rest[0] != '"' {
		return token{atom, s.take(wordLength(s.rest)), at}, nil
	}
	t, err := s.quote('"')
	if t.kind == text {
		t.kind = atom
	}
	return t, err
}

// quote reads a text in quotes. In double ones it may be a key, and #{…} makes it foreign.
func (s *scanner) quote(q byte) (token, error) {
	t := token{text, "", s.line}
	if q == '\'' {
		t.kind = foreign
	}
	s.take(1)
	var b strings.Builder
	for s.rest != "" && s.rest[0] != q {
		switch {
		case strings.HasPrefix(s.rest, "#{"):
			t.kind = foreign
			if !s.interpolated() {
				return t, errUnclosed
			}
		case s.rest[0] == '\\' && len(s.rest) > 1:
			b.WriteString(unescaped(s.take(2)[1]))
		default:
			b.WriteString(s.take(1))
		}
	}
	if s.rest == "" {
		return t, errUnclosed
	}
	s.take(1)
	t.text = b.String()
	if t.kind == text && len(s.rest) > 1 && s.rest[0] == ':' && strings.ContainsRune(" \t\r\n", rune(s.rest[1])) {
		s.take(1)
		t.kind = key
	}
	return t, nil
}

// interpolated skips #{…}, with the braces in it.
func (s *scanner) interpolated() bool {
	s.take(2)
	for depth := 1; s.rest != ""; {
		switch s.take(1) {
		case "{":
			depth++
		case "}":
			depth--
		}
		if depth == 0 {
			return true
		}
	}
	return false
}

func unescaped(c byte) string {
	switch c {
	case 'n':
		return "\n"
	case 't':
		return "\t"
	case 'r':
		return "\r"
	case 's':
		return " "
	case '0':
		return "\x00"
	}
	return string(c)
}

func (s *scanner) heredoc() (token, error) {
	t := token{foreign, "", s.line}
	mark := s.take(3)
	n := strings.Index(s.rest, mark)
	if n < 0 {
		s.take(len(s.rest))
		return t, errUnclosed
	}
	s.take(n + len(mark))
	return t, nil
}

// sigil skips ~w(…) and the like, with the letters behind it.
func (s *scanner) sigil() (token, error) {
	t := token{foreign, "", s.line}
	s.take(1)
	s.take(wordLength(s.rest))
	if strings.HasPrefix(s.rest, `"""`) || strings.HasPrefix(s.rest, `'''`) {
		return s.heredoc()
	}
	if s.rest == "" {
		return t, errUnclosed
	}
	closer := s.take(1)
	if i := strings.Index("([{<", closer); i >= 0 {
		closer = ")]}>"[i : i+1]
	}
	n := strings.Index(s.rest, closer)
	if n < 0 {
		s.take(len(s.rest))
		return t, errUnclosed
	}
	s.take(n + len(closer))
	s.take(wordLength(s.rest))
	return t, nil
}
