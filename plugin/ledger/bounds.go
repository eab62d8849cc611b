package ledger

import (
	"cmp"
	"math"
	"unicode/utf8"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// What a field may have, in bytes.
const (
	maxName = 256
	maxPath = 4096
)

func checkRecord(r Record) error {
	return cmp.Or(
		checkName("worker", string(r.Worker)),
		checkName("token", r.Token),
		checkText("pool", r.Pool, maxName),
		checkText("fingerprint", r.Fingerprint, maxName),
		checkText("dir", r.Dir, maxPath),
		checkText("devices", r.Devices, maxPath),
	)
}

// checkIdentity wants a process that can be named: pid 0 and 1 are nobody's child
// of ours, and a negative one is a group's to kill(2).
func checkIdentity(name string, p Identity) error {
	if p.PID <= 1 || p.PID > math.MaxInt32 {
		return outOfBounds(name+".pid", "%d is no process of ours", p.PID)
	}
	return checkText(name+".boot", p.Boot, maxName)
}

func checkReattach(a Reattach) error {
	if _, err := a.Addr(); err != nil {
		return outOfBounds("address", "%v", err)
	}
	return cmp.Or(
		checkText("address", a.Address, maxPath),
		checkCount("protocol_version", a.ProtocolVersion),
		checkCount("app_version", a.AppVersion),
		checkCount("slots", a.Slots),
	)
}

func checkName(field, s string) error {
	if s == "" {
		return outOfBounds(field, "it is empty")
	}
	return checkText(field, s, maxName)
}

func checkCount(field string, n int) error {
	if n < 0 || n > math.MaxInt32 {
		return outOfBounds(field, "%d is out of bounds", n)
	}
	return nil
}

// checkText keeps what JSON would change, silently, out of the file.
func checkText(field, s string, most int) error {
	switch {
	case len(s) > most:
		return outOfBounds(field, "%d bytes, and at most %d fit", len(s), most)
	case !utf8.ValidString(s):
		return outOfBounds(field, "%q isn't UTF-8", s)
	}
	return nil
}

func outOfBounds(field, format string, args ...any) error {
	e := errdefs.New(errdefs.InvalidArguments, format, args...)
	e.Message = "ledger: " + field + ": " + e.Message
	e.Path = field
	return e
}
