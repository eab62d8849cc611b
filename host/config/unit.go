package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// inUnit gives a bare number its unit.
func inUnit(text string, unit Unit) string {
	text = strings.TrimSpace(text)
	if unit == Own {
		return text
	}
	if _, err := strconv.ParseFloat(text, 64); err != nil {
		return text
	}
	return text + string(unit)
}

// parseDuration reads 500ms, 2s, 1h30m, 7d, "30 minutes", or plain seconds.
func parseDuration(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		return scaled(s, time.Second, text)
	}
	if number, word, ok := strings.Cut(text, " "); ok {
		s, err := strconv.ParseFloat(number, 64)
		unit := unitOf(strings.TrimSpace(word))
		if err == nil && unit > 0 {
			return scaled(s, unit, text)
		}
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if s, err := strconv.ParseFloat(days, 64); err == nil {
			return scaled(s, 24*time.Hour, text)
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no length of time; write 500ms, 2s, 1h30m, 30 minutes, or plain seconds", clip(text))
	}
	return d, nil
}

func unitOf(word string) time.Duration {
	switch strings.TrimSuffix(strings.ToLower(word), "s") {
	case "millisecond":
		return time.Millisecond
	case "second":
		return time.Second
	case "minute":
		return time.Minute
	case "hour":
		return time.Hour
	case "day":
		return 24 * time.Hour
	}
	return 0
}

func scaled(n float64, unit time.Duration, text string) (time.Duration, error) {
	if d := n * float64(unit); !math.IsNaN(d) && math.Abs(d) < math.MaxInt64 {
		return time.Duration(d), nil
	}
	return 0, fmt.Errorf("%q is no length of time", clip(text))
}

// parseBytes reads 1048576, 64KiB, 256MiB or 1GiB.
func parseBytes(text string) (int64, error) {
	digits, unit := strings.TrimSpace(text), int64(1)
	for _, u := range byteUnits() {
		if d, ok := strings.CutSuffix(digits, u.Text); ok {
			digits, unit = strings.TrimSpace(d), u.size
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is no number of bytes; write 1048576, 64KiB, 256MiB or 1GiB", clip(text))
	}
	return n * unit, nil
}

type byteUnit struct {
	Text string
	size int64
}

func byteUnits() []byteUnit {
	return []byteUnit{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}
}

// formatBytes writes a size in the largest unit that it's a multiple of.
func formatBytes(n int64) string {
	for _, u := range byteUnits() {
		if n > 0 && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.Text
		}
	}
	return strconv.FormatInt(n, 10)
}

// formatDuration is Duration.String without the zeros at its end.
func formatDuration(d time.Duration) string {
	text := d.String()
	if d == 0 || !strings.HasSuffix(text, "m0s") {
		return text
	}
	text = strings.TrimSuffix(text, "0s")
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
