package nearest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/snakepit-go/snakepit/host/nearest"
)

func TestTyposFindTheirName(t *testing.T) {
	t.Parallel()
	names := []string{"echo", "predict", "train", "pool_size", "a"}
	for typo, want := range map[string]string{
		"ehco": "echo", "predcit": "predict", "trian": "train", "pool_szie": "pool_size", "pool-size": "pool_size", "echos": "echo",
		"ech": "echo", "nothing_like_it": "", "": "", "x": "a", strings.Repeat("e", 65): "", strings.Repeat("x", 1<<20): "",
	} {
		if got := nearest.Name(typo, slices.Values(names)); got != want {
			t.Errorf("Name(%.20q) = %q, want %q", typo, got, want)
		}
	}
}

func TestOfEquallyNearNamesTheFirstInOrderIsTaken(t *testing.T) {
	t.Parallel()
	if got := nearest.Name("tool0", slices.Values([]string{"tool2", "tool1"})); got != "tool1" {
		t.Errorf("Name = %q, want tool1", got)
	}
}

func TestOnlySoManyNamesAreLookedAt(t *testing.T) {
	t.Parallel()
	looked := 0
	nearest.Name("name", func(yield func(string) bool) {
		for looked = 0; yield("other"); looked++ {
		}
	})
	if looked > 5000 {
		t.Errorf("%d names were looked at", looked)
	}
}

func FuzzName(f *testing.F) {
	f.Add("echo", "ehco")
	f.Fuzz(func(t *testing.T, name, candidate string) {
		got := nearest.Name(name, slices.Values([]string{candidate}))
		if got != "" && got != candidate {
			t.Fatalf("Name(%q) = %q, which was never offered", name, got)
		}
		if name == candidate && name != "" && len(name) <= 64 && got != candidate {
			t.Fatalf("a name doesn't find itself: %q", name)
		}
	})
}
