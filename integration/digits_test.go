//go:build integration

package integration_test

import (
	"context"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/integration/program"
)

func TestDigitsExampleLearnsDrawsAndLeavesNobody(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	picture := filepath.Join(p.dir, "out", "confusion.png")
	out := p.runDigits(t, "-adapter", p.digits(t), "-out", picture, "-python", program.Python(t))

	if lines := strings.Count(out, "\nepoch "); lines != 20 {
		t.Errorf("%d lines of progress, want one for each of 20 epochs:\n%s", lines, out)
	}
	right := regexp.MustCompile(`Right on ([0-9.]+) % of 450 digits`).FindStringSubmatch(out)
	if right == nil {
		t.Fatalf("no accuracy in:\n%s", out)
	}
	if percent, err := strconv.ParseFloat(right[1], 64); err != nil || percent <= 95 {
		t.Errorf("right on %s %%, want more than 95", right[1])
	}
	if !strings.Contains(out, picture) || !strings.Contains(out, "No Python process is left.") {
		t.Errorf("the picture's path or the last line is missing in:\n%s", out)
	}
	if n := colours(t, picture); n < 8 {
		t.Errorf("the picture has %d colours: it's blank, or nearly", n)
	}
}

func TestDigitsExampleSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, tt := range map[string]struct{ args, want []string }{
		"no such interpreter": {[]string{"-adapter", p.digits(t), "-python", "/nonexistent/python"}, []string{"/nonexistent/python"}},
		"no such adapter":     {[]string{"-adapter", "nothing.py", "-python", program.Python(t)}, []string{"nothing.py"}},
		"no epochs":           {[]string{"-adapter", p.digits(t), "-python", program.Python(t), "-epochs", "0"}, []string{"invalid_arguments", "epochs"}},
	} {
		out, err := p.digitsCommand(t, tt.args...).CombinedOutput()
		if err == nil {
			t.Errorf("%s: it ended well", name)
		}
		for _, want := range tt.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: %q isn't in:\n%s", name, want, out)
			}
		}
	}
}

func TestTrainingIsAlikeOnAHostOfItsOwnAndOnALiveOne(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	adapter := p.digits(t)
	own := p.call(t, adapter, "train", "epochs=3", "--stream")
	p.serve(t, adapter)
	live := p.run(t, "call", "train", "epochs=3", "--stream")
	if diff := cmp.Diff(own.stdout, live.stdout); diff != "" || own.code != 0 || live.code != 0 {
		t.Fatalf("exit codes %d and %d, stderr %q and %q, stdout (-own +live):\n%s", own.code, live.code, own.stderr, live.stderr, diff)
	}
	type progress struct {
		Epoch, Epochs int
		Loss          float64
	}
	lines := strings.Split(strings.TrimSpace(own.stdout), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines for 3 epochs:\n%s", len(lines), own.stdout)
	}
	first, last := decode[progress](t, lines[0]), decode[progress](t, lines[2])
	if first.Epoch != 1 || last.Epoch != 3 || last.Epochs != 3 || last.Loss >= first.Loss {
		t.Errorf("from %+v to %+v: want epochs 1 to 3 and less loss", first, last)
	}
}

func TestSessionsModelAnswersTheNextCall(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.serve(t, p.digits(t), "--workers", "2")
	if out := p.run(t, "call", "evaluate", "--session", "empty"); out.code != 1 || !strings.Contains(out.stderr, "call train in it first") {
		t.Errorf("a session without a model: exit code %d, %q", out.code, out.stderr)
	}
	if out := p.run(t, "call", "train", "epochs=10", "--session", "ann"); out.code != 0 {
		t.Fatalf("train: %s", out.stderr)
	}
	out := p.run(t, "call", "evaluate", "--session", "ann", "-o", "json")
	got := decode[struct {
		Accuracy float64
		Matrix   [][]int
		Picture  *string
	}](t, out.stdout)
	if got.Accuracy < 0.9 || len(got.Matrix) != 10 || got.Picture != nil {
		t.Errorf("accuracy %v, %d rows, picture %v: want above 0.9, 10, and none without a host tool", got.Accuracy, len(got.Matrix), got.Picture)
	}
	blank := strings.Repeat(",0", 64)[1:]
	out = p.run(t, "call", "predict", "--session", "ann", "images:=[["+blank+"]]")
	if digits := decode[[]int](t, out.stdout); len(digits) != 1 {
		t.Errorf("one image, %d digits", len(digits))
	}
	out = p.run(t, "call", "predict", "--session", "ann", "images:=[[1,2]]")
	if out.code != 1 || !strings.Contains(out.stderr, "images[0]") {
		t.Errorf("an image of two pixels: exit code %d, %q; want the path to it", out.code, out.stderr)
	}
}

// digits copies the example's adapter here and returns its path.
func (p *place) digits(t *testing.T) string {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("..", "examples", "digits", "digits.py"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(p.dir, "digits.py")
	if err := os.WriteFile(path, src, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (p *place) runDigits(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.digitsCommand(t, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("digits: %v\n%s", err, out)
	}
	return string(out)
}

// digitsCommand builds the example, unless it's there, and says how to run it.
func (p *place) digitsCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	example := filepath.Join(p.dir, "digits")
	if _, err := os.Stat(example); err != nil {
		build := exec.CommandContext(t.Context(), "go", "build", "-o", example, "../examples/digits")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build the example: %v\n%s", err, out)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, example, args...)
	cmd.Env, cmd.Dir = p.env, p.dir
	return cmd
}

// colours counts the colours of a PNG.
func colours(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[[3]uint32]bool{}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			r, g, b, _ := img.At(img.Bounds().Min.X+x, img.Bounds().Min.Y+y).RGBA()
			seen[[3]uint32{r, g, b}] = true
		}
	}
	return len(seen)
}
