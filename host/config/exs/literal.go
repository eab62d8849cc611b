package exs

import (
	"slices"
	"strconv"
	"strings"
)

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
