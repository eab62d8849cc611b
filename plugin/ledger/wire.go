package ledger

import (
	"cmp"
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
	if r.Devices != "" {
		v.put("devices", r.Devices)
	}
}

func putIdentity(v value, p Identity) {
	v.put("pid", p.PID)
	v.put("start_time", p.StartTime)
	v.put("boot", p.Boot)
}

func putReattach(v value, a Reattach) {
	v.put("network", a.Network)
	v.put("address", a.Address)
	v.put("protocol_version", a.ProtocolVersion)
	v.put("app_version", a.AppVersion)
	v.put("slots", a.Slots)
	v.put("attached", a.Incarnation)
}

func getIdentity(v value, p *Identity) error {
	return cmp.Or(
		v.small("pid", &p.PID),
		v.number("start_time", &p.StartTime),
		v.text("boot", &p.Boot),
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
		v.text("devices", &r.Devices),
		getIdentity(v, &r.Process),
		getReattach(v, &r.Reattach),
	)
}
