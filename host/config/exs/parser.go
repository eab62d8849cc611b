package exs

import (
	"fmt"
	"slices"
	"strings"
)

const (
	// MaxScript is how large a script may be, in bytes.
	MaxScript = 1 << 20
	// maxDepth bounds how deep values may lie in each other.
	maxDepth = 32
	// maxProblems is how many are kept.
	maxProblems = 1000
)

// Read reads what a script says of one application.
func Read(src []byte, app string) Script {
	p := &parser{app: app}
	if len(src) > MaxScript {
		p.problem(1, "the script is larger than %d KiB", MaxScript>>10)
		return p.script
	}
	p.lines = strings.Split(string(src), "\n")
	tokens, err := scan(string(src))
	p.tokens = tokens
	for p.peek().kind != end {
		p.statement()
	}
	if err != nil {
		p.problem(p.peek().line, "%v", err)
	}
	return p.script
}

type parser struct {
	app    string
	lines  []string
	tokens []token
	pos    int
	depth  int
	script Script
}

func (p *parser) peek() token { return p.tokens[p.pos] }

func (p *parser) ahead(n int) token { return p.tokens[min(p.pos+n, len(p.tokens)-1)] }

func (p *parser) next() token {
	t := p.tokens[p.pos]
	if p.pos < len(p.tokens)-1 {
		p.pos++
	}
	return t
}

func (p *parser) is(text string) bool { return p.peek().kind == sign && p.peek().text == text }

func (p *parser) accept(text string) bool {
	if !p.is(text) {
		return false
	}
	p.next()
	return true
}

func (p *parser) lineEnds() {
	for p.peek().kind == newline {
		p.next()
	}
}

func (p *parser) problem(line int, format string, args ...any) {
	if len(p.script.Problems) < maxProblems {
		p.script.Problems = append(p.script.Problems, Problem{line, fmt.Sprintf(format, args...)})
	}
}

// source is a line as it stands, shortened.
func (p *parser) source(line int) string {
	const most = 60
	if line < 1 || line > len(p.lines) {
		return ""
	}
	text := strings.TrimSpace(p.lines[line-1])
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// statement reads one statement at the top.
func (p *parser) statement() {
	t := p.peek()
	switch {
	case t.kind == newline:
		p.next()
	case t.kind == word && (t.text == "import" && p.ahead(1).text == "Config" || t.text == "use" && p.ahead(1).text == "Mix"):
		p.skipStatement()
	case t.kind == word && t.text == "config" && p.configures():
		p.config()
	case t.kind == word && t.text == "config":
		p.script.Skipped++
		p.skipStatement()
	default:
		p.problem(t.line, "%q isn't read: only what `config :%s, …` sets in every case is", p.source(t.line), p.app)
		p.skipStatement()
	}
}

// configures reports whether the statement is about our application.
func (p *parser) configures() bool {
	about := p.ahead(1)
	if about.kind == sign && about.text == "(" {
		about = p.ahead(2)
	}
	return about.kind == atom && about.text == p.app
}

// config reads `config :app, key: value, …` and `config :app, :key, value`.
func (p *parser) config() {
	line := p.next().line
	paren := p.accept("(")
	p.next() // the application
	if !p.accept(",") {
		p.problem(line, "%q sets nothing", p.source(line))
		p.skipStatement()
		return
	}
	p.lineEnds()
	switch t := p.peek(); {
	case t.kind == atom && p.ahead(1).kind == sign && p.ahead(1).text == ",":
		p.next()
		p.next()
		p.lineEnds()
		p.script.Settings = append(p.script.Settings, Pair{t.text, t.line, p.value(paren)})
	case t.kind == key:
		p.script.Settings = append(p.script.Settings, p.pairs("", paren)...)
	case t.kind == sign && t.text == "[":
		if v := p.value(paren); v.Kind == Map {
			p.script.Settings = append(p.script.Settings, v.Pairs...)
		} else if v.Kind != Unread {
			p.problem(t.line, "%q isn't read: want keys with values", p.source(t.line))
		}
	default:
		p.problem(t.line, "%q isn't read: want keys with values", p.source(t.line))
		p.skipStatement()
		return
	}
	if paren {
		p.lineEnds()
		p.accept(")")
	}
	if k := p.peek().kind; k != newline && k != end {
		p.problem(p.peek().line, "%q isn't read", p.source(p.peek().line))
	}
	p.skipStatement()
}

// skipStatement goes to the end of a statement, over blocks and brackets.
func (p *parser) skipStatement() {
	p.skip(func(t token, before token) bool {
		return t.kind == newline && !continues(before) && !continues(p.afterNewlines())
	})
}

// afterNewlines is the first token of the next line.
func (p *parser) afterNewlines() token {
	for i := p.pos; i < len(p.tokens); i++ {
		if p.tokens[i].kind != newline {
			return p.tokens[i]
		}
	}
	return token{}
}

// continues reports whether an expression goes on over the line's end at a sign.
func continues(t token) bool {
	return t.kind == sign && slices.Contains([]string{",", "|", "||", "&&", "|>", "<>", "++", "--", "=", "==", "=>", "->", "+", "*", "/", "."}, t.text)
}

// skip goes on until stop says so, outside all brackets and blocks.
func (p *parser) skip(stop func(t, before token) bool) {
	depth, before := 0, token{}
	for t := p.peek(); t.kind != end; t = p.peek() {
		if depth <= 0 && stop(t, before) {
			return
		}
		switch {
		case t.kind == sign && slices.Contains([]string{"(", "[", "{", "%{"}, t.text), t.kind == word && (t.text == "do" || t.text == "fn"):
			depth++
		case t.kind == sign && slices.Contains([]string{")", "]", "}"}, t.text), t.kind == word && t.text == "end":
			depth--
		}
		before = p.next()
	}
}

// pairs reads key: value, … up to the closing sign, or to the statement's end.
func (p *parser) pairs(closing string, inside bool) []Pair {
	var all []Pair
	for {
		if closing != "" || inside {
			p.lineEnds()
		}
		k := p.peek()
		if k.kind != key {
			return all
		}
		p.next()
		p.lineEnds()
		all = append(all, Pair{k.text, k.line, p.value(closing != "" || inside)})
		if !p.comma(closing != "" || inside) {
			return all
		}
	}
}

// comma goes over a comma and the line ends around it.
func (p *parser) comma(inside bool) bool {
	if inside {
		p.lineEnds()
	}
	if !p.accept(",") {
		return false
	}
	p.lineEnds()
	return true
}
