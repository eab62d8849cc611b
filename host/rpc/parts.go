package rpc

import "github.com/snakepit-go/snakepit/proto/errdefs"

// maxPart is how much of a payload one message between nodes carries, so that a
// large one never holds up the renewal of a lease, or a cancel.
const maxPart = 1 << 20

// split sends a payload in parts, at least one; more says that another follows.
func split(payload []byte, send func(part []byte, more bool) error) error {
	for len(payload) > maxPart {
		if err := send(payload[:maxPart:maxPart], true); err != nil {
			return err
		}
		payload = payload[maxPart:]
	}
	return send(payload, false)
}

// part is what a message carries of a payload.
type part interface {
	GetPayload() []byte
	GetMore() bool
}

// gather puts a payload together again, of which the first part has come.
func gather[M part](first M, next func() (M, error)) ([]byte, error) {
	payload := first.GetPayload()
	for p := first; p.GetMore(); {
		var err error
		if p, err = next(); err != nil {
			return nil, err
		}
		if len(payload)+len(p.GetPayload()) > maxPayload {
			return nil, errdefs.New(errdefs.PayloadTooLarge, "a payload of more than %d bytes", maxPayload)
		}
		payload = append(payload, p.GetPayload()...)
	}
	return payload, nil
}

// message takes the next message with its whole payload.
func message[M part](next func() (M, error)) (first M, payload []byte, err error) {
	if first, err = next(); err != nil {
		return first, nil, err
	}
	payload, err = gather(first, next)
	return first, payload, err
}
