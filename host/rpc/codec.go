package rpc

import (
	"errors"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/values"
)

// The encodings of payloads that the API takes.
const (
	msgpackType = "application/msgpack"
	jsonType    = "application/json"
)

// codec turns a client's payloads into msgpack and back.
type codec struct {
	in, out func([]byte) ([]byte, error)
}

func codecFor(contentType string) (codec, error) {
	switch contentType {
	case "", msgpackType:
		same := func(b []byte) ([]byte, error) { return b, nil }
		return codec{in: same, out: same}, nil
	case jsonType:
		return codec{in: fromJSON, out: toJSON}, nil
	}
	return codec{}, errdefs.New(errdefs.InvalidArguments, "content type %.64q; it's %s or %s", contentType, msgpackType, jsonType)
}

func fromJSON(b []byte) ([]byte, error) {
	out, err := values.FromJSON(b)
	var bad *values.Error
	if errors.As(err, &bad) {
		e := errdefs.New(errdefs.InvalidArguments, "%s", bad.Error())
		e.Path = bad.Path
		return nil, e
	}
	return out, err
}

func toJSON(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, nil
	}
	out, err := values.ToJSON(b)
	if err != nil {
		return nil, errdefs.New(errdefs.InvalidResult, "the result has no form in JSON: %v", err)
	}
	if len(out) > maxPayload {
		return nil, errdefs.New(errdefs.PayloadTooLarge, "the result has %d bytes as JSON; at most %d", len(out), maxPayload)
	}
	return out, nil
}
