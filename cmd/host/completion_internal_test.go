package main

import (
	"strings"
	"testing"
)

func TestCompletionKnowsTheLiveHost(t *testing.T) {
	t.Parallel()
	h := &fakeHost{tools: fixedTools(), status: fixedStatus()}
	for args, want := range map[string]string{
		"__complete --host /s call pr":                      "predict\tGuess digits.\n:4\n",
		"__complete --host /s tools ":                       "predict\tGuess digits.\ntrain\tLearn.\nvalidate\tCheck an order.\n:4\n",
		"__complete --host /s call predict pixels=[] ":      "near=\tGuess or null\ntop=\tinteger\n:6\n",
		"__complete --host /s call predict t":               "top=\tinteger\n:6\n",
		"__complete --host /s call predict --pool d":        "default\n:4\n",
		"__complete --host /s call predict pixels=@":        ":0\n",
		"__complete --host /s pools d":                      "default\n:4\n",
		"__complete --host /s pools ml ":                    ":4\n",
		"__complete --host /s sessions --pool m":            "ml\n:4\n",
		"__complete --host /s top --pool m":                 "ml\n:4\n",
		"__complete status -o ":                             "text\njson\n:4\n",
		"__complete completion ":                            "bash\nzsh\nfish\n:4\n",
		"__complete serve --adapter ":                       "py\n:8\n",
		"__complete status --set pool_si":                   "pool_size=\tHow many workers a pool has; where it grows and shrinks, how many it starts with.\n:6\n",
		"__complete status --set strict_results=":           "strict_results=true\nstrict_results=false\n:4\n",
		"__complete --data-dir /does/not/exist call predic": ":4\n",
	} {
		words := strings.Split(args, " ")
		o := runWith(t.Context(), t, h, nil, words...)
		if o.code != 0 || !strings.HasPrefix(o.stdout, want) {
			t.Errorf("%s: exit %d, got %q, want %q", args, o.code, o.stdout, want)
		}
	}
}

func TestCompletionScriptsArePrinted(t *testing.T) {
	t.Parallel()
	for shell, want := range map[string]string{"bash": "__start_snakepit", "zsh": "#compdef snakepit", "fish": "complete -c snakepit"} {
		o := runWith(t.Context(), t, &fakeHost{}, nil, "completion", shell)
		if o.code != 0 || !strings.Contains(o.stdout, want) {
			t.Errorf("%s: exit %d, %d bytes, %s", shell, o.code, len(o.stdout), o.stderr)
		}
	}
}
