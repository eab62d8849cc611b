package names_test

import (
	"strings"
	"testing"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

func TestNamesAreSixtyFourBytesOfAFewCharacters(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "0", "predict", "ml.predict-v2_beta", strings.Repeat("x", 64)} {
		if err := names.CheckTool(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "-a", "_a", "a b", "ä", "a\x00", "a/b", strings.Repeat("x", 65), strings.Repeat("x", 10_000), "\xff"} {
		err := names.CheckTool(bad)
		if errdefs.ReasonOf(err) != errdefs.InvalidToolName {
			t.Errorf("%.20q: %v, want invalid_tool_name", bad, err)
		}
		if len(err.Error()) > 400 {
			t.Errorf("the error about a name of %d bytes has %d", len(bad), len(err.Error()))
		}
	}
}

func TestIDsAreUpTo256BytesOfUTF8(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "ünïcødé 🐍", strings.Repeat("x", 256)} {
		if err := names.CheckID("session", good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a\xff", strings.Repeat("x", 257), strings.Repeat("x", 10_000)} {
		err := names.CheckID("session", bad)
		if errdefs.ReasonOf(err) != errdefs.InvalidArguments {
			t.Errorf("%.20q: %v, want invalid_arguments", bad, err)
		}
		if len(err.Error()) > 400 {
			t.Errorf("the error about an id of %d bytes has %d", len(bad), len(err.Error()))
		}
	}
}

func TestMetadataIsBounded(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	for i := range 17 {
		many[strings.Repeat("k", i+1)] = "v"
	}
	for name, m := range map[string]map[string]string{
		"17 entries": many, "4097 bytes": {"k": strings.Repeat("v", 4096)}, "not UTF-8": {"k": "\xff"}, "key not UTF-8": {"\xff": "v"},
	} {
		if err := names.CheckMetadata(m); errdefs.ReasonOf(err) != errdefs.InvalidArguments {
			t.Errorf("%s: %v, want invalid_arguments", name, err)
		}
	}
	delete(many, "k")
	for _, m := range []map[string]string{nil, many, {"k": strings.Repeat("v", 4095)}} {
		if err := names.CheckMetadata(m); err != nil {
			t.Errorf("%d entries: %v", len(m), err)
		}
	}
}
