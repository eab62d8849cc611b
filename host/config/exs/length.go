package exs

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

func isLetter(text string) bool {
	r, _ := utf8.DecodeRuneInString(text)
	return r == '_' || r != utf8.RuneError && unicode.IsLetter(r)
}

// wordLength is the length of the name that a text begins with; a ? or ! may end it.
func wordLength(text string) int {
	for i, r := range text {
		if r == '_' || r == '@' || r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			continue
		}
		if i > 0 && (r == '?' || r == '!') {
			return i + 1
		}
		return i
	}
	return len(text)
}

// numberLength takes digits of any base, underscores, a fraction and an exponent.
func numberLength(text string) int {
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= '0' && c <= '9' || c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		case c == '.' && i+1 < len(text) && text[i+1] >= '0' && text[i+1] <= '9':
		case (c == '-' || c == '+') && (text[i-1] == 'e' || text[i-1] == 'E') && strings.Contains(text[:i], "."):
		default:
			return i
		}
	}
	return len(text)
}

// signLength knows the signs of more than one character that matter.
func signLength(text string) int {
	for _, s := range []string{"%{", "=>", "->", "||", "&&", "|>", "<>", "++", "--", "==", "!=", ".."} {
		if strings.HasPrefix(text, s) {
			return len(s)
		}
	}
	_, n := utf8.DecodeRuneInString(text)
	return n
}
