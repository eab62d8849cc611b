package lane_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/frames.txt anew")

// golden are frames of every kind. Those that are there already never change.
func golden() []struct {
	name  string
	frame *snakepitv1.Frame
} {
	newKind := &snakepitv1.Frame{Optional: true}
	newKind.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 900, protowire.BytesType), []byte("new")))
	return []struct {
		name  string
		frame *snakepitv1.Frame
	}{
		{"hello", &snakepitv1.Frame{Kind: &snakepitv1.Frame_Hello{Hello: &snakepitv1.Hello{
			VersionMin: 1, VersionMax: 1, MaxFrame: 256 << 10, MaxPayload: 256 << 20, CallWindow: 1 << 20, LaneWindow: 4 << 20,
			MaxCalls: 1024, Features: []string{"one", "two"}, Token: []byte{0, 1, 254, 255}, Agent: "snakepit-sdk/0.1.0 python/3.11.7",
		}}}},
		{"call", &snakepitv1.Frame{CallId: 1, Kind: &snakepitv1.Frame_Call{Call: &snakepitv1.Call{
			Tool: "predict", Payload: []byte{0x81, 0xa1, 'x', 0x01}, Session: "user-1", TimeoutUs: 30_000_000, Stream: true, Input: true,
			Id: "c-17", Parent: 4, Metadata: map[string]string{"traceparent": "00-00000000000000000000000000000001-0000000000000002-01", "a": "ä"},
		}}}},
		{"call-bare", &snakepitv1.Frame{CallId: 3, Kind: &snakepitv1.Frame_Call{Call: &snakepitv1.Call{Tool: "echo"}}}},
		{"call-more", &snakepitv1.Frame{CallId: 5, More: true, Kind: &snakepitv1.Frame_Call{Call: &snakepitv1.Call{Tool: "echo", Payload: []byte("first")}}}},
		{"call-rest", &snakepitv1.Frame{CallId: 5, Kind: &snakepitv1.Frame_Call{Call: &snakepitv1.Call{Payload: []byte("second")}}}},
		{"data", &snakepitv1.Frame{CallId: 1, Kind: &snakepitv1.Frame_Data{Data: &snakepitv1.Data{Payload: []byte{0xc0}}}}},
		{"data-more", &snakepitv1.Frame{CallId: 1, More: true, Kind: &snakepitv1.Frame_Data{Data: &snakepitv1.Data{Payload: []byte("part")}}}},
		{"data-empty", &snakepitv1.Frame{CallId: 1, Kind: &snakepitv1.Frame_Data{Data: &snakepitv1.Data{}}}},
		{"half-close", &snakepitv1.Frame{CallId: 1, Kind: &snakepitv1.Frame_HalfClose{HalfClose: &snakepitv1.HalfClose{}}}},
		{"end", &snakepitv1.Frame{CallId: 1, Kind: &snakepitv1.Frame_End{End: &snakepitv1.End{Payload: []byte{0x2a}}}}},
		{"end-empty", &snakepitv1.Frame{CallId: 1, Kind: &snakepitv1.Frame_End{End: &snakepitv1.End{}}}},
		{"end-error", &snakepitv1.Frame{CallId: 1, Kind: &snakepitv1.Frame_End{End: &snakepitv1.End{Error: &snakepitv1.Error{
			Reason: "python_exception", Class: "tool_failed", Message: "ValueError: no good",
			Where: &snakepitv1.Where{Tool: "predict", Call: "c-17"},
			Exception: &snakepitv1.Exception{
				Type: "ValueError", Bases: []string{"Exception", "BaseException"}, Message: "no good", Traceback: "Traceback", Notes: []string{"first"},
			},
		}}}}},
		{"cancel", &snakepitv1.Frame{CallId: 1, Kind: &snakepitv1.Frame_Cancel{Cancel: &snakepitv1.Cancel{Reason: "deadline"}}}},
		{"credit", &snakepitv1.Frame{CallId: 1, Kind: &snakepitv1.Frame_Credit{Credit: &snakepitv1.Credit{Bytes: 524_288}}}},
		{"credit-lane", &snakepitv1.Frame{Kind: &snakepitv1.Frame_Credit{Credit: &snakepitv1.Credit{Bytes: 2_097_152}}}},
		{"ping", &snakepitv1.Frame{Kind: &snakepitv1.Frame_Ping{Ping: &snakepitv1.Ping{Nonce: 7}}}},
		{"pong", &snakepitv1.Frame{Kind: &snakepitv1.Frame_Pong{Pong: &snakepitv1.Pong{Nonce: 7, BusyUs: 1_500_000}}}},
		{"drain", &snakepitv1.Frame{Kind: &snakepitv1.Frame_Drain{Drain: &snakepitv1.Drain{}}}},
		{"progress", &snakepitv1.Frame{CallId: 1, Optional: true, Kind: &snakepitv1.Frame_Progress{Progress: &snakepitv1.Progress{Done: 3, Total: 20, Message: "epoch 3"}}}},
		{"unknown-optional", newKind},
	}
}

func encodeGolden(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("# The frames of proto/LANE.md: a name, and the encoded Frame in hex.\n")
	b.WriteString("# Both languages read them; a line that is here never changes. TestFramesAreGolden -rewrite adds new ones.\n")
	for _, g := range golden() {
		raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(g.frame)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %s\n", g.name, hex.EncodeToString(raw))
	}
	return b.String()
}

var goldenFile = filepath.Join("testdata", "frames.txt")

func TestFramesAreGolden(t *testing.T) {
	want := encodeGolden(t)
	if *rewrite {
		if err := os.WriteFile(goldenFile, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s isn't what Go writes:\n%s", goldenFile, want)
	}
}

func TestGoldenFramesAreRead(t *testing.T) {
	raw, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	frames := map[string]*snakepitv1.Frame{}
	for line := range strings.Lines(string(raw)) {
		name, text, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || name == "#" {
			continue
		}
		data, err := hex.DecodeString(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		frames[name] = &snakepitv1.Frame{}
		if err := proto.Unmarshal(data, frames[name]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for _, g := range golden() {
		if !proto.Equal(g.frame, frames[g.name]) {
			t.Errorf("%s is read as %v", g.name, frames[g.name])
		}
	}
	if len(frames) != len(golden()) {
		t.Errorf("%d frames in the file, %d here", len(frames), len(golden()))
	}
}
