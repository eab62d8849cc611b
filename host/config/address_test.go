package config_test

import (
	"testing"

	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestAddressWithoutAPortHasTheClusters(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "a": "a:7070", "a:1": "a:1", ":0": ":0", "10.0.0.1": "10.0.0.1:7070", "::1": "[::1]:7070", "[::1]": "[::1]:7070", "[::1]:9": "[::1]:9",
	} {
		if got := config.WithPort(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

func TestWhatIsNoAddressIsRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"a:b", "a:1:2", "a:70000", "http://a", "a b"} {
		if _, err := set("cluster_listen=" + bad); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
			t.Errorf("%q: %v, want invalid_config", bad, err)
		}
	}
}

func TestClusterKnobsMeanNothingWithoutAPort(t *testing.T) {
	t.Parallel()
	for _, pair := range []string{"join=a", "join_token=t", "cluster_advertise=a"} {
		if _, err := set(pair); errdefs.ReasonOf(err) != errdefs.InvalidConfig {
			t.Errorf("%s alone: %v, want invalid_config", pair, err)
		}
		if _, err := set("cluster_listen=127.0.0.1:0", pair, "join=b"); err != nil {
			t.Errorf("%s: %v", pair, err)
		}
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	t.Parallel()
	c, err := set("cluster_listen=127.0.0.1:0", "join=a", "join_token=sesame")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range c.Values() {
		if v.Knob.Name == "join_token" && (v.Plain != "********" || v.YAML == "sesame") {
			t.Errorf("it's shown as %v, %s", v.Plain, v.YAML)
		}
	}
	if c.JoinToken != "sesame" {
		t.Error("it's masked where it's used")
	}
}
