package main

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRightAnswersAreBlueAndMistakesOrange(t *testing.T) {
	t.Parallel()
	img := heatmap("two digits", []string{"0", "1"}, [][]int{{40, 3}, {0, 38}})
	at := func(row, col int) (r, g, b uint32) { // a corner of the cell, where no text is
		r, g, b, _ = img.At(left+col*cell+3, top+row*cell+3).RGBA()
		return r, g, b
	}
	if r, _, b := at(0, 0); b <= r {
		t.Errorf("a right answer has more red than blue: %d, %d", r, b)
	}
	if r, _, b := at(0, 1); r <= b {
		t.Errorf("a mistake has more blue than red: %d, %d", b, r)
	}
	if r, _, b := at(1, 0); r < 0xf000 || b < 0xf000 {
		t.Errorf("a cell that counts nothing isn't nearly white: %d, %d", r, b)
	}
}

func TestEveryNumberIsDrawn(t *testing.T) {
	t.Parallel()
	blank := heatmap("", []string{"", ""}, [][]int{{0, 0}, {0, 0}})
	title := heatmap("title", []string{"", ""}, [][]int{{0, 0}, {0, 0}})
	labels := heatmap("", []string{"7", "8"}, [][]int{{0, 0}, {0, 0}})
	for name, other := range map[string]*image.RGBA{"title": title, "labels": labels} {
		if bytes.Equal(blank.Pix, other.Pix) {
			t.Errorf("the %s changed no pixel", name)
		}
	}
}

func TestDrawMatrixWritesThePictureAndGivesItsPath(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "confusion.png")
	got, err := drawTo(path)(t.Context(), drawing{Title: "one digit", Labels: []int{0}, Matrix: [][]int{{5}}})
	if err != nil || got != path {
		t.Fatalf("draw_matrix gave %q, %v; want %q", got, err, path)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := png.Decode(f); err != nil {
		t.Errorf("the picture is no PNG: %v", err)
	}
}

func TestDrawingOfTheWrongShapeIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "confusion.png")
	for name, d := range map[string]drawing{
		"nothing":          {},
		"too few rows":     {Labels: []int{0, 1}, Matrix: [][]int{{1, 2}}},
		"a short row":      {Labels: []int{0, 1}, Matrix: [][]int{{1, 2}, {3}}},
		"an enormous many": {Labels: make([]int, 33), Matrix: make([][]int, 33)},
	} {
		if _, err := drawTo(path)(t.Context(), d); err == nil {
			t.Errorf("%s: drawn all the same", name)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a refused drawing left a file")
	}
}

func TestTableIsAligned(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	writeTable(&out, []int{0, 1}, [][]int{{100, 0}, {2, 31}})
	want := "        predicted\n" +
		"true      0   1\n" +
		"   0    100   ·\n" +
		"   1      2  31\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestPipeGetsALineForEachEpoch(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := newBar(&out)
	b.show(epoch{Epoch: 1, Epochs: 2, Loss: 1.25, Accuracy: 0.5})
	b.show(epoch{Epoch: 2, Epochs: 2, Loss: 0.5, Accuracy: 1})
	b.end()
	want := "epoch  1/2   loss 1.2500   right on  50.0 %\n" +
		"epoch  2/2   loss 0.5000   right on 100.0 %\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestTerminalGetsOneLineThatGrows(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := &bar{w: &out, live: true}
	b.show(epoch{Epoch: 1, Epochs: 2})
	b.show(epoch{Epoch: 2, Epochs: 2})
	b.end()
	if got := bytes.Count(out.Bytes(), []byte("\n")); got != 1 {
		t.Errorf("%d line ends, want the last one alone", got)
	}
	if got := bytes.Count(out.Bytes(), []byte("█")); got != barWidth/2+barWidth {
		t.Errorf("%d full cells, want half the bar, then all of it", got)
	}
}
