package main

import (
	"context"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// drawing is what Python asks draw_matrix for.
type drawing struct {
	Title  string  `json:"title"`
	Labels []int   `json:"labels"`
	Matrix [][]int `json:"matrix"`
}

// maxLabels bounds the picture, whatever Python asks for.
const maxLabels = 32

func (d drawing) check() error {
	if n := len(d.Labels); n == 0 || n > maxLabels || n != len(d.Matrix) {
		return fmt.Errorf("a matrix has 1 to %d rows and a label for each: it has %d, and %d labels", maxLabels, len(d.Matrix), n)
	}
	for i, row := range d.Matrix {
		if len(row) != len(d.Labels) {
			return fmt.Errorf("row %d has %d numbers, want %d", i, len(row), len(d.Labels))
		}
	}
	return nil
}

// drawTo gives the host tool draw_matrix, which writes a PNG and returns its path.
func drawTo(path string) func(context.Context, drawing) (string, error) {
	return func(_ context.Context, d drawing) (string, error) {
		if err := d.check(); err != nil {
			return "", err
		}
		labels := make([]string, len(d.Labels))
		for i, l := range d.Labels {
			labels[i] = strconv.Itoa(l)
		}
		return path, writePicture(path, d.Title, labels, d.Matrix)
	}
}

func writePicture(path, title string, labels []string, matrix [][]int) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // a picture is no secret
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := png.Encode(f, heatmap(title, labels, matrix)); err != nil {
		_ = f.Close() // the first error says more
		return err
	}
	return f.Close()
}

// writeTable writes the matrix as an aligned table, zeros as dots.
func writeTable(w io.Writer, labels []int, matrix [][]int) {
	say(w, "        predicted\n")
	say(w, "true   %s\n", cells(labels, ""))
	for i, row := range matrix {
		say(w, "%4d   %s\n", labels[i], cells(row, "·"))
	}
}

// cells aligns numbers; zero stands in for 0 where it isn't empty.
func cells(numbers []int, zero string) string {
	var b strings.Builder
	for _, n := range numbers {
		text := strconv.Itoa(n)
		if n == 0 && zero != "" {
			text = zero
		}
		b.WriteString(strings.Repeat(" ", max(4-len([]rune(text)), 1)) + text)
	}
	return b.String()
}
