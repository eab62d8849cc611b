package config_test

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

func TestEveryDefaultParsesAndEveryKnobSetsSomething(t *testing.T) {
	t.Parallel()
	other := map[config.Kind]string{config.Int: "7", config.Bytes: "2MiB", config.Duration: "7s", config.Bool: "true", config.Text: "x"}
	for _, k := range config.Knobs() {
		if _, err := config.Parse([]string{k.Name + "=" + k.Default}); err != nil {
			t.Errorf("%s: its default: %v", k.Name, err)
		}
		value, ok := other[k.Kind]
		if !ok {
			value = k.Choices[len(k.Choices)-1]
		}
		s, err := config.Parse([]string{k.Name + "=" + value})
		if err != nil {
			t.Errorf("%s=%s: %v", k.Name, value, err)
		}
		if s == config.Defaults() {
			t.Errorf("%s=%s changes nothing", k.Name, value)
		}
	}
}

func TestBoundsAreKept(t *testing.T) {
	t.Parallel()
	for _, k := range config.Knobs() {
		if k.Min == "" {
			continue
		}
		for _, in := range []string{k.Min, k.Max} {
			if _, err := config.Parse([]string{k.Name + "=" + in}); err != nil {
				t.Errorf("%s=%s is refused: %v", k.Name, in, err)
			}
		}
		for _, out := range []string{"0", "-1", "99999999999999"} {
			if out == "0" && k.Min == "0s" {
				continue
			}
			if _, err := config.Parse([]string{k.Name + "=" + out}); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
				t.Errorf("%s=%s: %v, want invalid_config", k.Name, out, err)
			}
		}
	}
}

func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	_, err := config.Parse([]string{"pool_szie=3", "lane=pigeon", "call_timeout=soon", "novalue", "strict_results=maybe", "max_payload=1TiB"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"did you mean pool_size?", "none of auto, local, grpc", "call_timeout", `"novalue" isn't knob=value`, "strict_results", "max_payload"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q doesn't say %q", err, want)
		}
	}
}

func TestTimesAndSizesTakeTheirUnits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"2": 2 * time.Second, "0.25": 250 * time.Millisecond, "1h30m": 90 * time.Minute, "500ms": 500 * time.Millisecond} {
		s, err := config.Parse([]string{"call_timeout=" + text})
		if err != nil || s.CallTimeout != want {
			t.Errorf("call_timeout=%s is %s (%v), want %s", text, s.CallTimeout, err, want)
		}
	}
	for text, want := range map[string]int64{"65536": 65536, "64KiB": 64 << 10, "3 MiB": 3 << 20} {
		s, err := config.Parse([]string{"max_payload=" + text})
		if err != nil || s.MaxPayload != want {
			t.Errorf("max_payload=%s is %d (%v), want %d", text, s.MaxPayload, err, want)
		}
	}
}

func TestLaterValuesWin(t *testing.T) {
	t.Parallel()
	s, err := config.Parse([]string{"pool_size=3", "pool_size=5"})
	if err != nil || s.PoolSize != 5 {
		t.Errorf("pool_size = %d (%v), want 5", s.PoolSize, err)
	}
}

func TestThePageIsFresh(t *testing.T) {
	t.Parallel()
	const page = "../../docs/configuration.md"
	if *update {
		if err := os.WriteFile(page, []byte(config.Markdown()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != config.Markdown() {
		t.Error("docs/configuration.md is stale: run go test ./host/config -update")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("call_timeout=1e300")
	f.Add("max_payload=9223372036854775807GiB")
	f.Fuzz(func(t *testing.T, pair string) {
		s, err := config.Parse([]string{pair})
		if err == nil && (s.CallTimeout <= 0 || s.MaxPayload <= 0 || s.PoolSize < 1) {
			t.Fatalf("%q gives %+v", pair, s)
		}
	})
}
