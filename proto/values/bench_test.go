package values_test

import (
	"testing"

	"github.com/snakepit-go/snakepit/proto/values"
)

func BenchmarkEncodeSmallStruct(b *testing.B) {
	in := struct {
		Text string `json:"text"`
		Top  int    `json:"top"`
	}{"a hundred bytes or so", 3}
	for b.Loop() {
		if _, err := values.Encode(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeSmallStruct(b *testing.B) {
	data := encode(b, map[string]any{"text": "a hundred bytes or so", "top": 3})
	var out struct {
		Text string `json:"text"`
		Top  int    `json:"top"`
	}
	for b.Loop() {
		if err := values.Decode(data, &out); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeFloats(b *testing.B) {
	data := encode(b, make([]float64, 10_000))
	var out []float64
	for b.Loop() {
		if err := values.Decode(data, &out); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeFloats(b *testing.B) {
	in := make([]float64, 10_000)
	for b.Loop() {
		if _, err := values.Encode(in); err != nil {
			b.Fatal(err)
		}
	}
}
