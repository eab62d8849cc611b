package exs_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host/config/exs"
)

// plain is a value as words, without lines.
func plain(v exs.Value) any {
	switch v.Kind {
	case exs.Unread:
		return "UNREAD"
	case exs.Nil:
		return nil
	case exs.Atom:
		return ":" + v.Text
	case exs.Module:
		return "module " + v.Text
	case exs.Bool, exs.Number:
		return v.Text
	case exs.Text:
		return "\"" + v.Text
	case exs.Env:
		return "$" + v.Text + "|" + v.Default
	case exs.List, exs.Tuple:
		all := []any{}
		for _, item := range v.Items {
			all = append(all, plain(item))
		}
		return all
	case exs.Map:
		return pairs(v.Pairs)
	}
	return "?"
}

func pairs(all []exs.Pair) map[string]any {
	m := map[string]any{}
	for _, p := range all {
		m[p.Key] = plain(p.Value)
	}
	return m
}

func TestLiteralsAreRead(t *testing.T) {
	t.Parallel()
	s := exs.Read([]byte(`
import Config

# a comment
config :snakepit,
  pooling_enabled: true,
  pool_size: 1_000, hex: 0x1F, ratio: 2.5, small: 1.0e-3, below: -4, eight: 010,
  text: "a \"b\"\n#c",
  mod: Snakepit.Adapters.GRPCPython,
  nothing: nil,
  "quoted key": :"odd atom",
  tuple: {30, :minutes},
  env: System.get_env("PORT", "50051"),
  pool_config: %{
    "string" => ["x", :y],   # inside
    :atom => %{deep: [a: 1, b: [2, 3]]},
    pool_size: 4,
    last: [],
  }

config :snakepit, :affinity, :strict_queue
config(:snakepit, log_level: :warning)
config :snakepit, [listed: 1]
config :logger, level: :info
`), "snakepit")
	want := map[string]any{
		"pooling_enabled": "true", "pool_size": "1000", "hex": "31", "ratio": "2.5", "small": "1.0e-3", "below": "-4", "eight": "10",
		"text": "\"a \"b\"\n#c", "mod": "module Snakepit.Adapters.GRPCPython", "nothing": nil, "quoted key": ":odd atom",
		"tuple": []any{"30", ":minutes"}, "env": "$PORT|50051",
		"pool_config": map[string]any{"pool_size": "4", "string": []any{"\"x", ":y"}, "atom": map[string]any{"deep": map[string]any{"a": "1", "b": []any{"2", "3"}}}, "last": []any{}},
		"affinity":    ":strict_queue", "log_level": ":warning", "listed": "1",
	}
	if diff := cmp.Diff(want, pairs(s.Settings)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(s.Problems) != 0 || s.Skipped != 1 {
		t.Errorf("problems %v, skipped %d", s.Problems, s.Skipped)
	}
}

func TestWhatIsNoLiteralIsReportedByItsLineAndLeftOut(t *testing.T) {
	t.Parallel()
	s := exs.Read([]byte(`import Config
size = System.schedulers_online() * 2

config :snakepit,
  pool_size: size,
  computed: 60 * 1000,
  called: String.to_integer(System.get_env("N", "4")),
  bare: System.get_env("X"),
  interpolated: "a#{b}c",
  sigil: ~w(a b)a,
  piped: "a"
    |> String.upcase(),
  function: fn x -> x end,
  list: [1, f(2), 3],
  good: 1

if config_env() == :prod do
  config :snakepit, pool_size: 64
end

config :snakepit, Snakepit.Repo, pool: 3
config :snakepit, after_all: 2
import_config "#{config_env()}.exs"
`), "snakepit")
	var lines []int
	for _, p := range s.Problems {
		lines = append(lines, p.Line)
	}
	if diff := cmp.Diff([]int{2, 5, 6, 7, 8, 9, 10, 11, 13, 14, 17, 21, 23}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s\n%v", diff, s.Problems)
	}
	want := map[string]any{
		"pool_size": "UNREAD", "computed": "UNREAD", "called": "UNREAD", "bare": "UNREAD", "interpolated": "UNREAD", "sigil": "UNREAD", "piped": "UNREAD",
		"function": "UNREAD", "list": []any{"1", "UNREAD", "3"}, "good": "1", "after_all": "2",
	}
	if diff := cmp.Diff(want, pairs(s.Settings)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBrokenScriptsAreReported(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"config :snakepit, a: \"never closed", "config :snakepit, a: [1, 2", "config :snakepit", "config :snakepit, 3", "config :snakepit, a: 1 b: 2", "hello",
		"config :snakepit, a: ~s(x", "config :snakepit, a: \"\"\"\nx", strings.Repeat(" ", exs.MaxScript) + "x", "config :snakepit, a: " + strings.Repeat("[", 100),
		"config :snakepit, a: 1)\nconfig :snakepit, b: 2",
	} {
		if s := exs.Read([]byte(text), "snakepit"); len(s.Problems) == 0 {
			t.Errorf("%.40q: no problem; %v", text, pairs(s.Settings))
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"config :snakepit, a: 1, b: [c: %{d: {1, :x}}]\n", "config :snakepit, :k, System.get_env(\"A\", \"b\")", "if x do\nend\n", "~", ":", "\"#{\"#{}\"}\"", "%{", "config(:snakepit, a: ]",
		"config :snakepit, a: 'x', \"b\": ~w[x]a, c: 1.5e-3, d: 0x, e: - 1", "\\\n\\", "config :snakepit, a: %{1 => 2}", "config :snakepit, a:\n\n1,\n", "''''''",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := exs.Read([]byte(text), "snakepit")
		for _, p := range s.Problems {
			if p.Line < 1 || p.Text == "" {
				t.Fatalf("%q: problem %+v", text, p)
			}
		}
	})
}
