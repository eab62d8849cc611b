package nearest_test

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/snakepit-go/snakepit/host/nearest"
)

func TestTheNearestNameIsFound(t *testing.T) {
	t.Parallel()
	names := []string{"predict", "train", "queue_timeout", "pool_size", "echo"}
	for name, want := range map[string]string{
		"predict": "predict", "predcit": "predict", "trian": "train", "ech": "echo", "queue_timeot": "queue_timeout", "poolsize": "pool_size",
		"": "", "x": "", "completely_different": "", strings.Repeat("p", 65): "",
	} {
		if got := nearest.Name(name, slices.Values(names)); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestOfEquallyNearNamesTheFirstInOrderWins(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{{"cat", "bat"}, {"bat", "cat"}} {
		if got := nearest.Name("aat", slices.Values(names)); got != "bat" {
			t.Errorf("of %v: %q, want bat", names, got)
		}
	}
}

func TestTheWorkIsBounded(t *testing.T) {
	t.Parallel()
	var looked int
	var endless iter.Seq[string] = func(yield func(string) bool) {
		for looked = 0; yield(fmt.Sprint("name", looked)); looked++ {
		}
	}
	nearest.Name("something", endless)
	if looked > 5000 {
		t.Errorf("looked at %d names", looked)
	}
}

func TestHintAsksOrSaysNothing(t *testing.T) {
	t.Parallel()
	if got := nearest.Hint("ehco", slices.Values([]string{"echo"})); got != "did you mean echo?" {
		t.Errorf("%q", got)
	}
	if got := nearest.Hint("zzz", slices.Values([]string{"echo"})); got != "" {
		t.Errorf("%q", got)
	}
}
