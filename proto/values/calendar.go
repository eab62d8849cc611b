package values

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"
)

// NaiveTime is a datetime without a zone. Its Time is in UTC, which means nothing.
type NaiveTime struct {
	Time time.Time
}

// String is like 2024-02-29T12:30:00.5, without an offset.
func (n NaiveTime) String() string { return n.Time.Format("2006-01-02T15:04:05.999999999") }

// MarshalText is String.
func (n NaiveTime) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// Date is a calendar date.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// Time is midnight UTC of the date.
func (d Date) Time() time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC) }

// String is like 2024-02-29.
func (d Date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day) }

// MarshalText is String.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Clock is a time of day.
type Clock struct {
	Hour, Minute, Second, Nanosecond int
	Zone                             string // "+01:00", "[Europe/Berlin]", or empty
}

// String is like 12:30:00.5+01:00.
func (c Clock) String() string {
	t := time.Date(2000, 1, 1, c.Hour, c.Minute, c.Second, c.Nanosecond, time.UTC)
	return t.Format("15:04:05"+fraction(c.Nanosecond)) + c.Zone
}

// MarshalText is String.
func (c Clock) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

const localLayout = "2006-01-02T15:04:05"

// fraction is the layout of a fraction: six digits where they do, as in Python.
func fraction(nanos int) string {
	switch {
	case nanos == 0:
		return ""
	case nanos%1000 == 0:
		return ".000000"
	}
	return ".000000000"
}

func formatTime(t time.Time) (string, error) {
	if err := checkYear(t.Year()); err != nil {
		return "", err
	}
	layout := localLayout + fraction(t.Nanosecond()) + "-07:00"
	if _, offset := t.Zone(); offset%60 != 0 {
		layout += ":00"
	}
	text := t.Format(layout)
	if name := t.Location().String(); strings.Contains(name, "/") && isZoneName(name) {
		text += "[" + name + "]"
	}
	return text, nil
}

func formatNaive(n NaiveTime) (string, error) {
	if err := checkYear(n.Time.Year()); err != nil {
		return "", err
	}
	return n.Time.Format(localLayout + fraction(n.Time.Nanosecond())), nil
}

func checkYear(year int) error {
	if year < 1 || year > 9999 {
		return faultf("year %d is outside 1 to 9999", year)
	}
	return nil
}

func isZoneName(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	for _, c := range name {
		if !strings.ContainsRune("_+/-", c) && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// parseTime gives a time.Time, or a NaiveTime where the text has neither offset
// nor zone.
func parseTime(text string) (any, error) {
	local, name, err := cutZone(text)
	if err != nil || len(local) < len(localLayout) {
		return nil, faultf("malformed datetime")
	}
	rest := strings.TrimLeft(local[len(localLayout):], ".0123456789")
	t, err := time.ParseInLocation(localLayout+offsetLayout(rest), local, time.UTC)
	if err != nil {
		return nil, faultf("malformed datetime")
	}
	zone := location(name)
	switch {
	case rest == "" && zone == nil:
		return NaiveTime{t}, nil
	case rest == "":
		return time.ParseInLocation(localLayout, local, zone)
	case zone != nil:
		return t.In(zone), nil
	}
	return t, nil
}

// cutZone splits "…[Europe/Berlin]".
func cutZone(text string) (local, name string, err error) {
	local, name, found := strings.Cut(text, "[")
	if !found {
		return local, "", nil
	}
	name, found = strings.CutSuffix(name, "]")
	if !found || !isZoneName(name) {
		return "", "", faultf("malformed zone")
	}
	return local, name, nil
}

func offsetLayout(offset string) string {
	switch len(offset) {
	case 0:
		return ""
	case len("+07:00:00"):
		return "-07:00:00"
	}
	return "Z07:00"
}

// location is the named zone, or nil where this machine doesn't know it.
func location(name string) *time.Location {
	if name == "" || name == "Local" {
		return nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	return zone
}

func parseDate(text string) (Date, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return Date{}, faultf("malformed date")
	}
	return Date{t.Year(), t.Month(), t.Day()}, nil
}

func parseClock(text string) (Clock, error) {
	local, name, err := cutZone(text)
	if err != nil || len(local) < len(time.TimeOnly) {
		return Clock{}, faultf("malformed time")
	}
	offset := strings.TrimLeft(local[len(time.TimeOnly):], ".0123456789")
	t, err := time.Parse(time.TimeOnly+offsetLayout(offset), local)
	if err != nil {
		return Clock{}, faultf("malformed time")
	}
	zone := offset
	if name != "" {
		zone += "[" + name + "]"
	}
	return Clock{t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone}, nil
}

const secondsPerDay = 24 * 60 * 60

func durationBytes(d time.Duration) []byte {
	seconds, nanos := int64(d/time.Second), int64(d%time.Second)
	if nanos < 0 {
		seconds, nanos = seconds-1, nanos+int64(time.Second)
	}
	days, rest := seconds/secondsPerDay, seconds%secondsPerDay
	if rest < 0 {
		days, rest = days-1, rest+secondsPerDay
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(days))  //nolint:gosec // at most 106,752 either way
	b = binary.BigEndian.AppendUint32(b, uint32(rest))     //nolint:gosec // below 86,400
	return binary.BigEndian.AppendUint32(b, uint32(nanos)) //nolint:gosec // below 1e9
}

// parseDuration reports false where the time is too long for a time.Duration.
func parseDuration(data []byte) (d time.Duration, fits bool, err error) {
	if len(data) != 12 {
		return 0, false, faultf("malformed timedelta")
	}
	days := int64(int32(binary.BigEndian.Uint32(data))) //nolint:gosec // two's complement
	rest, nanos := binary.BigEndian.Uint32(data[4:]), binary.BigEndian.Uint32(data[8:])
	if rest >= secondsPerDay || nanos >= uint32(time.Second) {
		return 0, false, faultf("malformed timedelta")
	}
	seconds := days*secondsPerDay + int64(rest)
	const most = math.MaxInt64/int64(time.Second) - 1
	if seconds > most || seconds < -most {
		return 0, false, nil
	}
	return time.Duration(seconds)*time.Second + time.Duration(nanos), true, nil
}
