package ledger

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/snakepit-go/snakepit/host"
)

// putIntent, putIdentity and putReattach are a record's three writes.
func putIntent(v value, r Record) {
	v.put("worker", r.Worker)
	v.put("token", r.Token)
	v.put("pool", r.Pool)
	v.put("fingerprint", r.Fingerprint)
	v.put("dir", r.Dir)
	v.put("incarnation", r.Incarnation)
}

func putIdentity(v value, prefix string, p Identity) {
	v.put(prefix+"pid", p.PID)
	v.put(prefix+"start_time", p.StartTime)
	v.put(prefix+"boot", p.Boot)
}

func putReattach(v value, a Reattach) {
	v.put("network", a.Network)
	v.put("address", a.Address)
	v.put("protocol_version", a.ProtocolVersion)
	v.put("app_version", a.AppVersion)
	v.put("slots", a.Slots)
	v.put("attached", a.Incarnation)
}

func putShim(v value, s Shim) {
	v.put("socket", s.Socket)
	v.put("token", s.Token)
	v.put("version", s.Version)
	v.put("incarnation", s.Incarnation)
	v.put("order", s.order)
	putIdentity(v, "guard_", s.Guard)
	putIdentity(v, "shim_", s.Shim)
}

func getIdentity(v value, prefix string, p *Identity) error {
	return cmp.Or(
		v.small(prefix+"pid", &p.PID),
		v.number(prefix+"start_time", &p.StartTime),
		v.text(prefix+"boot", &p.Boot),
	)
}

func getReattach(v value, a *Reattach) error {
	return cmp.Or(
		v.text("network", &a.Network),
		v.text("address", &a.Address),
		v.small("protocol_version", &a.ProtocolVersion),
		v.small("app_version", &a.AppVersion),
		v.small("slots", &a.Slots),
		v.number("attached", &a.Incarnation),
	)
}

// recordOf reads a record. One that can't be read is reported in its Err, with its
// bytes, and never left out.
func recordOf(key, raw []byte) Record {
	r, err := decodeRecord(raw)
	if err == nil && string(r.Worker) != string(key) {
		err = fmt.Errorf("it is worker %q's", r.Worker)
	}
	if err != nil {
		return Record{Worker: host.WorkerID(key), Raw: append([]byte{}, raw...), Err: fmt.Errorf("record of worker %q: %w", key, err)}
	}
	return r
}

func decodeRecord(raw []byte) (r Record, err error) {
	v, err := parseValue(raw)
	if err != nil {
		return r, err
	}
	return r, cmp.Or(
		v.text("worker", (*string)(&r.Worker)),
		v.text("token", &r.Token),
		v.text("pool", &r.Pool),
		v.text("fingerprint", &r.Fingerprint),
		v.text("dir", &r.Dir),
		v.number("incarnation", &r.Incarnation),
		getIdentity(v, "", &r.Process),
		getReattach(v, &r.Reattach),
	)
}

// shimOf reads a pair, as recordOf does a record.
func shimOf(key, raw []byte) Shim {
	s, err := decodeShim(raw)
	if err == nil && s.Socket != string(key) {
		err = errors.New("it is another's")
	}
	if err != nil {
		return Shim{Socket: string(key), Raw: append([]byte{}, raw...), Err: fmt.Errorf("record of the shim at %q: %w", key, err)}
	}
	return s
}

func decodeShim(raw []byte) (s Shim, err error) {
	v, err := parseValue(raw)
	if err != nil {
		return s, err
	}
	return s, cmp.Or(
		v.text("socket", &s.Socket),
		v.text("token", &s.Token),
		v.small("version", &s.Version),
		v.number("incarnation", &s.Incarnation),
		v.number("order", &s.order),
		getIdentity(v, "guard_", &s.Guard),
		getIdentity(v, "shim_", &s.Shim),
	)
}
