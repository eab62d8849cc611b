package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/snakepit-go/snakepit/host/config/exs"
)

// Migration is what became of an Elixir project's settings.
type Migration struct {
	YAML     string    // a configuration that loads; what has no counterpart is in it as a comment
	Problems []Problem // what couldn't be translated, by line
}

// Problem is a setting that couldn't be translated.
type Problem struct {
	Line int
	Text string
}

// MaxScript is how large a script may be, in bytes.
const MaxScript = exs.MaxScript

// appName is the application whose settings are read.
const appName = "snakepit"

// Migrate translates the settings of an Elixir configuration script, FILE.exs.
func Migrate(file string, script []byte) Migration {
	read := exs.Read(script, appName)
	m := &migrator{table: newTable()}
	for _, p := range read.Problems {
		m.problem(p.Line, "%s", p.Text)
	}
	top, pools := m.sections(read.Settings)
	var b strings.Builder
	b.WriteString("# Made of " + commentable(file) + " by `snakepit config migrate`.\n")
	b.WriteString(top.yaml(""))
	if len(pools) > 0 {
		b.WriteString("pools:\n")
	}
	for _, p := range pools {
		b.WriteString("  - name: " + quoted(p.name) + "\n" + p.yaml("    "))
	}
	text := b.String()
	m.prove(text)
	slices.SortStableFunc(m.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return Migration{text, m.problems}
}

// migrator turns settings into sections.
type migrator struct {
	table    *table
	problems []Problem
}

func (m *migrator) problem(line int, format string, args ...any) {
	m.problems = append(m.problems, Problem{line, fmt.Sprintf(format, args...)})
}

// prove loads what was made: an error in it would be ours, and is told as one.
func (m *migrator) prove(text string) {
	var environ []string
	_, err := Load(Sources{File: "migrated.yaml", YAML: []byte(text), Environ: environ})
	for _, f := range FaultsIn(err) {
		m.problem(0, "the result: %s", f)
	}
}

// section is the top, or one pool.
type section struct {
	name     string
	line     int
	set      map[string]string // by knob, as YAML
	comments []string
}

// sections sorts the settings into the top and the pools.
func (m *migrator) sections(settings []exs.Pair) (top *section, pools []*section) {
	settings = merged(settings)
	top = &section{set: map[string]string{}}
	multi := slices.ContainsFunc(settings, func(p exs.Pair) bool { return p.Key == poolsKey })
	own := &section{set: map[string]string{}}
	for _, p := range settings {
		switch {
		case p.Key == poolsKey:
			pools = m.pools(p.Value)
		case p.Key == poolConfigKey && !multi:
			for _, inner := range p.Value.Pairs {
				m.translate(own, inner, "")
			}
		case multi && slices.Contains([]string{poolConfigKey, "pool_size", "adapter_args"}, p.Key):
			top.comment(p.Line, p.Key, "beside pools it means nothing")
		default:
			m.translate(top, p, "")
		}
	}
	top.overlay(own)
	if !multi && len(top.set) > 0 && top.set["adapter"] == "" {
		top.comments = append(top.comments, "adapter: say which Python code has the tools, as FILE.py or MODULE:CLASS")
	}
	return top, pools
}

// overlay lays pool_config over the top, where pool_size and the adapter go first.
func (s *section) overlay(own *section) {
	for name, text := range own.set {
		if _, taken := s.set[name]; !taken || name != "pool_size" && name != "adapter" {
			s.set[name] = text
		}
	}
	s.comments = append(s.comments, own.comments...)
}

// merged lets a later setting of a name take the place of the earlier one, as
// Elixir does; keyword lists are merged key by key.
func merged(settings []exs.Pair) []exs.Pair {
	var all []exs.Pair
	for _, p := range settings {
		i := slices.IndexFunc(all, func(q exs.Pair) bool { return q.Key == p.Key })
		switch {
		case i < 0:
			all = append(all, p)
		case all[i].Value.Kind == exs.Map && p.Value.Kind == exs.Map:
			all[i].Value.Pairs = merged(slices.Concat(all[i].Value.Pairs, p.Value.Pairs))
		default:
			all[i] = p
		}
	}
	return all
}

// pools makes a section of each pool.
func (m *migrator) pools(v exs.Value) []*section {
	var all []*section
	if v.Kind != exs.List {
		m.problem(v.Line, "pools: want a list of maps")
		return nil
	}
	for _, item := range v.Items {
		pairs := merged(item.Pairs)
		i := slices.IndexFunc(pairs, func(p exs.Pair) bool { return p.Key == nameKey })
		if i < 0 || pairs[i].Value.Kind != exs.Atom && pairs[i].Value.Kind != exs.Text {
			m.problem(item.Line, "a pool without a name is left out")
			continue
		}
		s := &section{name: pairs[i].Value.Text, line: item.Line, set: map[string]string{}}
		if slices.ContainsFunc(all, func(o *section) bool { return o.name == s.name }) || checkName(s.name) != nil || s.name == "" {
			m.problem(item.Line, "a pool can't be called %q here, or there are two: it's left out", clip(s.name))
			continue
		}
		for _, p := range slices.Delete(slices.Clone(pairs), i, i+1) {
			m.translate(s, p, "")
		}
		if s.set["adapter"] == "" {
			m.problem(s.line, "pool %s names no adapter: put the Python code that has its tools in the place of change_me", s.name)
			s.set["adapter"] = "change_me"
		}
		all = append(all, s)
	}
	return all
}

// translate puts one setting into a section.
func (m *migrator) translate(s *section, p exs.Pair, prefix string) {
	name := prefix + p.Key
	f, known := m.table.named[name]
	why := ""
	if !known {
		why = whyGone(name)
	}
	isMap := known && (f.knob.Kind == TextMap || f.knob.Kind == Counts)
	switch {
	case p.Value.Kind == exs.Unread:
		s.comment(p.Line, name, "it couldn't be read")
	case p.Value.Kind == exs.Nil:
	case name == "adapter_args":
		m.adapter(s, p)
	case p.Value.Kind == exs.Map && !isMap && (why == "" || slices.Contains(groups(), name)):
		for _, inner := range p.Value.Pairs {
			m.translate(s, inner, name+"_")
		}
	case why != "":
		s.comment(p.Line, name, strings.TrimPrefix(why, formerName))
	case !known:
		m.problem(p.Line, "%s", m.table.unknown(name))
		s.comment(p.Line, name, "no such knob")
	case f.knob.Scope == OfHost && s.name != "":
		m.problem(p.Line, "%s: it's the host's here: set it at the top", name)
	default:
		m.knob(s, p, f)
	}
}

// knob writes a value that has a counterpart.
func (m *migrator) knob(s *section, p exs.Pair, f found) {
	f.unit = cmp.Or(elixirUnit(p.Key), f.unit)
	text, err := f.yamlOf(p.Value)
	if err != nil {
		m.problem(p.Line, "%s: %v", p.Key, err)
		s.comment(p.Line, p.Key, "it couldn't be translated")
		return
	}
	if before, twice := s.set[f.knob.Name]; twice && before != text {
		m.problem(p.Line, "%s: %s is %s already, by another name", p.Key, f.knob.Name, before)
		return
	}
	s.set[f.knob.Name] = text
}

// elixirUnit is the unit of a name that is ours too, where it's another there.
func elixirUnit(name string) Unit {
	if name == "queue_timeout" || name == "stream_timeout" {
		return Milliseconds
	}
	return Own
}

// adapter finds the Python code in the arguments of the original's server.
func (m *migrator) adapter(s *section, p exs.Pair) {
	args := []string{}
	for _, item := range p.Value.Items {
		args = append(args, item.Text)
	}
	i := slices.Index(args, "--adapter")
	if i < 0 || i+1 >= len(args) || args[i+1] == "" || p.Value.Items[i+1].Kind != exs.Text {
		s.comment(p.Line, p.Key, strings.TrimPrefix(whyGone(p.Key), formerName))
		m.problem(p.Line, "adapter_args: want [\"--adapter\", \"module.Class\"]")
		return
	}
	module, class := args[i+1], ""
	if dot := strings.LastIndexByte(module, '.'); dot > 0 {
		module, class = module[:dot], ":"+module[dot+1:]
	}
	s.set["adapter"] = quoted(module + class)
	if rest := slices.Delete(slices.Clone(args), i, i+2); len(rest) > 0 {
		m.problem(p.Line, "adapter_args: %s: there are no other arguments here; slots has what --max-workers had", clip(strings.Join(rest, " ")))
	}
}

func (s *section) comment(line int, name, text string) {
	s.comments = append(s.comments, fmt.Sprintf("%s (line %d): %s", commentable(name), line, text))
}

// yaml writes the section, knobs in the table's order.
func (s *section) yaml(indent string) string {
	var b strings.Builder
	for _, k := range Knobs() {
		if text, ok := s.set[k.Name]; ok {
			b.WriteString(indent + k.Name + ": " + text + "\n")
		}
	}
	for _, c := range s.comments {
		b.WriteString(indent + "# " + c + "\n")
	}
	return b.String()
}

// commentable is text that stays on its line.
func commentable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(clip(text), "?"))
}
