package main

import (
	"image"
	"image/color"
	"image/draw"
	"math"
	"strconv"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// Sizes in pixels.
const (
	cell   = 56
	left   = 96 // room for the row labels and the axis title
	top    = 88 // room for the title
	bottom = 84
	right  = 32
	gap    = 2 // between cells

	textScale = 2 // the font's 7 by 13 are small
)

// heatmap draws a confusion matrix: rows are what is true, columns what was
// predicted. What was right is blue and what was wrong orange, the more the
// darker. matrix must be square, with a label for each row.
func heatmap(title string, labels []string, matrix [][]int) *image.RGBA {
	n := len(matrix)
	img := image.NewRGBA(image.Rect(0, 0, left+n*cell+right, top+n*cell+bottom))
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	most := largest(matrix)
	for row := range matrix {
		for col, count := range matrix[row] {
			box := image.Rect(0, 0, cell-gap, cell-gap).Add(image.Pt(left+col*cell, top+row*cell))
			drawCell(img, box, count, share(count, most), row == col)
		}
	}
	drawAxes(img, title, labels)
	return img
}

func drawCell(img draw.Image, box image.Rectangle, count int, share float64, correct bool) {
	shade := mix(share, color.RGBA{246, 248, 251, 255}, color.RGBA{222, 235, 247, 255}, color.RGBA{66, 146, 198, 255}, color.RGBA{8, 48, 107, 255})
	if !correct {
		shade = mix(share, color.RGBA{246, 248, 251, 255}, color.RGBA{253, 208, 162, 255}, color.RGBA{241, 105, 19, 255}, color.RGBA{127, 39, 4, 255})
	}
	draw.Draw(img, box, image.NewUniform(shade), image.Point{}, draw.Src)
	ink := color.RGBA{30, 41, 59, 255}
	switch {
	case count == 0:
		ink = color.RGBA{190, 198, 210, 255}
	case share > 0.55:
		ink = color.RGBA{255, 255, 255, 255}
	}
	center(img, middle(box), ink, strconv.Itoa(count))
}

func drawAxes(img draw.Image, title string, labels []string) {
	ink, soft := color.RGBA{15, 23, 42, 255}, color.RGBA{71, 85, 105, 255}
	mid := left + len(labels)*cell/2
	center(img, image.Pt(mid, top/2), ink, title)
	for i, label := range labels {
		at := i*cell + cell/2
		center(img, image.Pt(left-20, top+at), soft, label)
		center(img, image.Pt(left+at, top+len(labels)*cell+18), soft, label)
	}
	center(img, image.Pt(mid, top+len(labels)*cell+54), ink, "predicted")
	upright(img, image.Pt(32, top+len(labels)*cell/2), ink, "true")
}

// share is how dark a count is, 0 to 1. The root keeps a single mistake visible
// beside forty right answers.
func share(count, most int) float64 {
	if count <= 0 || most <= 0 {
		return 0
	}
	return math.Sqrt(float64(count) / float64(most))
}

func largest(matrix [][]int) int {
	most := 0
	for _, row := range matrix {
		for _, count := range row {
			most = max(most, count)
		}
	}
	return most
}

// mix walks from the first colour to the last as t goes from 0 to 1.
func mix(t float64, stops ...color.RGBA) color.RGBA {
	at := t * float64(len(stops)-1)
	i := min(int(at), len(stops)-2)
	part := at - float64(i)
	blend := func(a, b uint8) uint8 { return uint8(float64(a) + part*(float64(b)-float64(a))) }
	a, b := stops[i], stops[i+1]
	return color.RGBA{blend(a.R, b.R), blend(a.G, b.G), blend(a.B, b.B), 255}
}

func middle(r image.Rectangle) image.Point { return r.Min.Add(r.Max).Div(2) }

// center writes text around a point.
func center(img draw.Image, at image.Point, ink color.Color, text string) {
	stamp(img, at, ink, mask(text))
}

// upright is center, turned so that it reads from the bottom to the top.
func upright(img draw.Image, at image.Point, ink color.Color, text string) {
	flat := mask(text)
	size := flat.Bounds().Size()
	turned := image.NewAlpha(image.Rect(0, 0, size.Y, size.X))
	for x := range size.X {
		for y := range size.Y {
			turned.SetAlpha(y, size.X-1-x, flat.AlphaAt(x, y))
		}
	}
	stamp(img, at, ink, turned)
}

// mask is the text as it stands in the font, 7 by 13 pixels a character.
func mask(text string) *image.Alpha {
	face := basicfont.Face7x13
	out := image.NewAlpha(image.Rect(0, 0, font.MeasureString(face, text).Ceil(), face.Ascent+face.Descent))
	pen := font.Drawer{Dst: out, Src: image.Opaque, Face: face, Dot: fixed.P(0, face.Ascent)}
	pen.DrawString(text)
	return out
}

func stamp(img draw.Image, at image.Point, ink color.Color, small *image.Alpha) {
	size := small.Bounds().Size().Mul(textScale)
	large := image.NewAlpha(image.Rectangle{Max: size})
	xdraw.NearestNeighbor.Scale(large, large.Bounds(), small, small.Bounds(), draw.Src, nil)
	box := image.Rectangle{Max: size}.Add(at.Sub(size.Div(2)))
	draw.DrawMask(img, box, image.NewUniform(ink), image.Point{}, large, image.Point{}, draw.Over)
}
