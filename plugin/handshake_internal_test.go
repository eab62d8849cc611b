package plugin

import (
	"strings"
	"testing"
)

func TestNoiseIsNoHandshake(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"", "|", "1|", "loading…", "1|2|3|4|5", "1|1|udp|x|grpc", "1 | 1 | unix | /x | grpc",
		"11111111|1|unix|/x|grpc", "-1|1|unix|/x|grpc", "INFO 1|1|unix|/x|grpc",
	} {
		if isHandshake(line) {
			t.Errorf("%q passes for a handshake", line)
		}
	}
	for _, line := range []string{"1|1|unix|/x|grpc", "1|1|tcp|127.0.0.1:1|grpc|", "2|1|unix|/x|grpc"} {
		if !isHandshake(line) {
			t.Errorf("%q doesn't pass for a handshake", line)
		}
	}
}

func TestBadHandshakesAreRefusedWithTheField(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"1|1|unix|/x":        "4 fields",
		"1|1|unix||grpc":     "no address",
		"1|1|unix|/x|netrpc": "netrpc",
		"1|1|unix|/" + strings.Repeat("x", 107) + "|grpc": "108 bytes",
		"1|1|unix|/x|grpc|" + strings.Repeat("QUJD", 20):  "certificate",
		"99999999999999999999|1|unix|/x|grpc":             "core protocol version",
		"1|99999999999999999999|unix|/x|grpc":             "protocol version",
		"1|1|carrier-pigeon|/x|grpc":                      "carrier-pigeon",
	} {
		if _, err := parseHandshake(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseHandshake(%.40q) = %v, want something about %q", line, err, want)
		}
	}
}

// FuzzHandshake makes sure that what go-plugin gets to see is always a line that
// it can take apart, with none of the optional fields.
func FuzzHandshake(f *testing.F) {
	for _, seed := range []string{"1|1|unix|/run/x.sock|grpc", "1|1|tcp|127.0.0.1:10000|grpc|", "1|1|unix|/x|grpc|AAAA|true", "2|7|unix|/x|grpc\r", "\x00|1|unix|/x|grpc"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if !isHandshake(line) {
			return
		}
		h, err := parseHandshake(line)
		if err != nil {
			return
		}
		again, err := parseHandshake(h.String())
		if err != nil || again != h {
			t.Fatalf("%q became %q, which reads as %+v, %v; want %+v", line, h, again, err, h)
		}
		if got := strings.Count(h.String(), "|"); got != 4 {
			t.Fatalf("%q has %d separators, want 4", h, got)
		}
	})
}
