package config_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

// set loads knob=value pairs alone.
func set(pairs ...string) (*config.Config, error) {
	var flags []config.Flag
	for _, p := range pairs {
		flags = append(flags, config.Flag{Name: "--set", Pair: p})
	}
	return config.Load(config.Sources{Flags: flags})
}

// another is a value of the knob that isn't its default.
func another(k config.Knob) string {
	switch k.Kind {
	case config.Int, config.Bytes, config.Duration, config.Number:
		if k.Min != k.Default {
			return k.Min
		}
		return k.Max
	case config.Bool:
		return strconv.FormatBool(k.Default == "false")
	case config.Text:
		return "x"
	case config.Choice:
		return k.Choices[len(k.Choices)-1]
	case config.Ints:
		return "7"
	case config.Texts:
		return "ValueError"
	case config.Counts:
		return "a:2"
	case config.TextMap:
		return "A=b"
	}
	return ""
}

func TestEveryDefaultIsReadAndEveryKnobSetsSomething(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, k := range config.Knobs() {
		for _, name := range append([]string{k.Name}, names(k)...) {
			if seen[name] {
				t.Errorf("%s is the name of two knobs", name)
			}
			seen[name] = true
		}
		if k.Kind != config.Text {
			if _, err := k.Read(k.Default); err != nil {
				t.Errorf("%s: its default: %v", k.Name, err)
			}
		}
		v, err := k.Read(another(k))
		if err != nil {
			t.Errorf("%s: %v", k.Name, err)
		}
		if d, _ := k.Read(k.Default); reflect.DeepEqual(v, d) {
			t.Errorf("%s=%s is its default", k.Name, another(k))
		}
		c, err := set(k.Name + "=" + another(k))
		switch k.Name {
		case "min_size": // which goes with max_size
			c, err = set("max_size=3", "min_size=0")
		case "cluster_advertise", "join", "join_token", "tls_dir": // of a node alone
			c, err = set("cluster_listen=127.0.0.1:0", k.Name+"="+another(k))
		}
		if err != nil {
			t.Errorf("%s=%s: %v", k.Name, another(k), err)
			continue
		}
		if reflect.DeepEqual(c.Settings, config.Defaults()) {
			t.Errorf("%s=%s changes nothing", k.Name, another(k))
		}
	}
}

func names(k config.Knob) []string {
	var all []string
	for _, a := range k.Aliases {
		all = append(all, a.Name)
	}
	return all
}

func TestEveryKnobIsDescribed(t *testing.T) {
	t.Parallel()
	for _, k := range config.Knobs() {
		if k.Text == "" || !strings.HasSuffix(k.Text, ".") || k.Layer == "" || k.Scope == "" || k.Effect == "" {
			t.Errorf("%s: its row isn't whole: %+v", k.Name, k)
		}
		if k.Name != strings.ToLower(k.Name) || k.Kind == config.Duration && (k.Min == "" || k.Max == "") {
			t.Errorf("%s: its name or its range", k.Name)
		}
	}
}

func TestBoundsAreKept(t *testing.T) {
	t.Parallel()
	for _, k := range config.Knobs() {
		if k.Min == "" {
			continue
		}
		form := func(bound string) string {
			if k.Kind == config.Counts {
				return "a:" + bound
			}
			return bound
		}
		for _, in := range []string{k.Min, k.Max} {
			if _, err := k.Read(form(in)); err != nil {
				t.Errorf("%s=%s is refused: %v", k.Name, in, err)
			}
		}
		for _, out := range []string{"-1", "-0.001", "99999999999999999", "NaN"} {
			if _, err := set(k.Name + "=" + form(out)); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
				t.Errorf("%s=%s: %v, want invalid_config", k.Name, out, err)
			}
		}
		if zero, err := k.Read(form("0")); err == nil && !strings.HasPrefix(k.Min, "0") && k.Min != "" {
			t.Errorf("%s=0 is taken, as %v, below its least, %s", k.Name, zero, k.Min)
		}
	}
}

func TestWordsStandForWhatHasNoNumber(t *testing.T) {
	t.Parallel()
	for _, k := range config.Knobs() {
		for _, w := range k.Words {
			v, err := k.Read(strings.ToUpper(w.Text))
			if err != nil || v != w.Value {
				t.Errorf("%s=%s is %v (%v), want %v", k.Name, w.Text, v, err, w.Value)
			}
		}
	}
}

func TestAliasesAreTheirKnobInTheirOwnUnit(t *testing.T) {
	t.Parallel()
	units := map[config.Unit]string{config.Milliseconds: "ms", config.Mebibytes: "MiB"}
	for _, k := range config.Knobs() {
		for _, a := range k.Aliases {
			value, plain := another(k), another(k)
			if unit := units[a.Unit]; unit != "" {
				value, plain = "5000", "5000"+unit
			}
			byAlias, err := set(a.Name + "=" + value)
			if err != nil {
				t.Errorf("%s=%s: %v", a.Name, value, err)
				continue
			}
			byName, err := set(k.Name + "=" + plain)
			if err != nil || !reflect.DeepEqual(byAlias.Settings, byName.Settings) {
				t.Errorf("%s=%s isn't %s=%s (%v)", a.Name, value, k.Name, plain, err)
			}
			inFile, err := config.Load(config.Sources{File: "f", YAML: []byte(a.Name + ": " + fileForm(k, value) + "\n")})
			if err != nil || !reflect.DeepEqual(inFile.Settings, byName.Settings) {
				t.Errorf("in a file %s: %s isn't %s=%s (%v)", a.Name, value, k.Name, plain, err)
			}
		}
	}
}

// fileForm is a value of the command line as a file has it.
func fileForm(k config.Knob, value string) string {
	if k.Kind == config.TextMap {
		return "{A: b}"
	}
	return strconv.Quote(value)
}

func TestTimesAndSizesTakeTheirUnits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"2": 2 * time.Second, "0.25": 250 * time.Millisecond, "1h30m": 90 * time.Minute, "500ms": 500 * time.Millisecond,
		"30 minutes": 30 * time.Minute, "1 hour": time.Hour, "2d": 48 * time.Hour, "3600 seconds": time.Hour,
	} {
		c, err := set("call_timeout=" + text)
		if err != nil || c.CallTimeout != want {
			t.Errorf("call_timeout=%s: %v, want %s", text, err, want)
		}
	}
	for text, want := range map[string]int64{"65536": 65536, "64KiB": 64 << 10, "3 MiB": 3 << 20} {
		c, err := set("max_payload=" + text)
		if err != nil || c.MaxPayload != want {
			t.Errorf("max_payload=%s: %v, want %d", text, err, want)
		}
	}
	for _, text := range []string{"", "soon", "5 apples", "1e300", "inf", "9223372036855", "--1"} {
		if _, err := set("call_timeout=" + text); err == nil {
			t.Errorf("call_timeout=%q is taken", text)
		}
	}
}

func TestThePageIsFresh(t *testing.T) {
	t.Parallel()
	const page = "../../docs/configuration.md"
	var examples []config.Example
	for _, name := range exampleNames(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		examples = append(examples, config.Example{Name: filepath.Base(name), Text: string(text)})
	}
	want := config.Markdown(examples)
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/configuration.md is stale: run go test ./host/config -update")
	}
}

func exampleNames(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("../../examples/config/*.yaml")
	if err != nil || len(found) < 6 {
		t.Fatalf("%d examples, %v", len(found), err)
	}
	return found
}

func TestEveryExampleLoadsWithoutAWarning(t *testing.T) {
	t.Parallel()
	for _, name := range exampleNames(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(config.Sources{File: name, YAML: text})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(c.Warnings) != 0 || len(c.Pools) == 0 {
			t.Errorf("%s: %d pools, warnings %v", name, len(c.Pools), c.Warnings)
		}
		again, err := config.Load(config.Sources{File: "shown.yaml", YAML: []byte(c.YAML())})
		if err != nil {
			t.Fatalf("%s: what show prints doesn't load: %v\n%s", name, err, c.YAML())
		}
		for i, p := range c.Pools {
			if !reflect.DeepEqual(p.Settings, again.Pools[i].Settings) {
				t.Errorf("%s: show prints another pool than %+v:\n%+v", name, p.Settings, again.Pools[i].Settings)
			}
		}
	}
}

func TestDefaultsUncommentedAreTheDefaults(t *testing.T) {
	t.Parallel()
	text := config.DefaultsYAML()
	if c, err := config.Load(config.Sources{File: "d", YAML: []byte(text)}); err != nil || len(c.Warnings) != 0 {
		t.Fatalf("%v, %v", err, c)
	}
	var lines []string
	for _, k := range config.Knobs() {
		_, rest, ok := strings.Cut(text, "\n# "+k.Name+": ")
		value, _, _ := strings.Cut(rest, "\n")
		if !ok {
			t.Errorf("%s isn't there", k.Name)
		}
		lines = append(lines, k.Name+": "+value)
	}
	c, err := config.Load(config.Sources{File: "d", YAML: []byte(strings.Join(lines, "\n"))})
	if err != nil {
		t.Fatal(err)
	}
	got, want := c.Settings, config.Defaults()
	got.Env, got.Weights, want.Env, want.Weights = nil, nil, nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestSchemaKnowsEveryNameInEveryPlace(t *testing.T) {
	t.Parallel()
	text, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Properties map[string]struct {
			OneOf []struct {
				Items                struct{ Properties map[string]any }
				AdditionalProperties json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	list := s.Properties["pools"].OneOf[0].Items.Properties
	for _, k := range config.Knobs() {
		for _, name := range append([]string{k.Name}, names(k)...) {
			if _, ok := s.Properties[name]; !ok {
				t.Errorf("%s isn't at the top", name)
			}
			if _, ok := list[name]; ok != (k.Scope == config.OfPool) {
				t.Errorf("%s in a pool: %v", name, ok)
			}
		}
	}
}
