package exs

import (
	"fmt"
	"slices"
	"strconv"
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

// value reads a literal. What isn't one is reported and gone over.
func (p *parser) value(inside bool) Value {
	start := p.pos
	line := p.peek().line
	p.depth++
	v, ok := p.literal()
	p.depth--
	if ok && p.atEnd(inside) {
		v.Line = line
		return v
	}
	p.pos = start
	p.problem(line, "%q isn't read: it's no literal", p.source(line))
	p.skip(func(t, before token) bool {
		return t.kind == sign && slices.Contains([]string{",", ")", "]", "}"}, t.text) ||
			!inside && t.kind == newline && !continues(before) && !continues(p.afterNewlines())
	})
	return Value{Kind: Unread, Line: line}
}

// atEnd reports whether nothing follows that would make more of a literal.
func (p *parser) atEnd(inside bool) bool {
	i := p.pos
	for inside && p.tokens[i].kind == newline {
		i++
	}
	t := p.tokens[i]
	if t.kind == newline {
		return !continues(p.afterNewlines())
	}
	return t.kind == end || t.kind == sign && slices.Contains([]string{",", ")", "]", "}"}, t.text)
}

func (p *parser) literal() (Value, bool) {
	t := p.next()
	switch {
	case p.depth > maxDepth:
		return Value{}, false
	case t.kind == text:
		return Value{Kind: Text, Text: t.text}, true
	case t.kind == atom:
		return Value{Kind: Atom, Text: t.text}, true
	case t.kind == number:
		return numberOf(t.text, "")
	case t.kind == sign && t.text == "-" && p.peek().kind == number:
		return numberOf(p.next().text, "-")
	case t.kind == sign && t.text == "[":
		return p.list()
	case t.kind == sign && t.text == "{":
		items, ok := p.items("}")
		return Value{Kind: Tuple, Items: items}, ok
	case t.kind == sign && t.text == "%{":
		return p.mapping()
	case t.kind == word:
		return p.named(t.text)
	}
	return Value{}, false
}

func (p *parser) named(name string) (Value, bool) {
	switch {
	case name == "nil":
		return Value{Kind: Nil}, true
	case name == "true" || name == "false":
		return Value{Kind: Bool, Text: name}, true
	case name == "System" && p.is("."):
		return p.env()
	case name[0] >= 'A' && name[0] <= 'Z':
		for p.is(".") && p.ahead(1).kind == word {
			p.next()
			name += "." + p.next().text
		}
		return Value{Kind: Module, Text: name}, !p.is("(")
	}
	return Value{}, false
}

// env reads System.get_env("NAME", "default").
func (p *parser) env() (Value, bool) {
	want := []token{{kind: sign, text: "."}, {kind: word, text: "get_env"}, {kind: sign, text: "("}, {kind: text}, {kind: sign, text: ","}, {kind: text}, {kind: sign, text: ")"}}
	var got []string
	for _, w := range want {
		t := p.next()
		if t.kind != w.kind || w.text != "" && t.text != w.text {
			return Value{}, false
		}
		got = append(got, t.text)
	}
	return Value{Kind: Env, Text: got[3], Default: got[5]}, true
}

// list reads a list, or a keyword list.
func (p *parser) list() (Value, bool) {
	p.lineEnds()
	if p.peek().kind == key {
		pairs := p.pairs("]", true)
		p.lineEnds()
		return Value{Kind: Map, Pairs: pairs}, p.accept("]")
	}
	items, ok := p.items("]")
	return Value{Kind: List, Items: items}, ok
}

func (p *parser) items(closing string) ([]Value, bool) {
	var all []Value
	for {
		p.lineEnds()
		if p.accept(closing) {
			return all, true
		}
		all = append(all, p.value(true))
		if !p.comma(true) {
			p.lineEnds()
			return all, p.accept(closing)
		}
	}
}

// mapping reads %{a: 1, "b" => 2, :c => 3}.
func (p *parser) mapping() (Value, bool) {
	v := Value{Kind: Map}
	for {
		p.lineEnds()
		if p.accept("}") {
			return v, true
		}
		if p.peek().kind == key {
			v.Pairs = append(v.Pairs, p.pairs("}", true)...)
			p.lineEnds()
			return v, p.accept("}")
		}
		k := p.next()
		p.lineEnds()
		if k.kind != text && k.kind != atom || !p.accept("=>") {
			return v, false
		}
		p.lineEnds()
		v.Pairs = append(v.Pairs, Pair{k.text, k.line, p.value(true)})
		if !p.comma(true) {
			p.lineEnds()
			return v, p.accept("}")
		}
	}
}

// numberOf checks a number and writes it without underscores, in base ten.
func numberOf(text, sign string) (Value, bool) {
	text = sign + strings.ReplaceAll(text, "_", "")
	if n, err := strconv.ParseInt(text, 0, 64); err == nil && !octal(text) {
		return Value{Kind: Number, Text: strconv.FormatInt(n, 10)}, true
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return Value{Kind: Number, Text: strconv.FormatInt(n, 10)}, true
	}
	_, err := strconv.ParseFloat(text, 64)
	return Value{Kind: Number, Text: text}, err == nil && strings.Contains(text, ".") && !strings.ContainsAny(text, "xX")
}

// octal reports whether Go would read as octal what Elixir doesn't.
func octal(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	return len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9'
}
