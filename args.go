package snakepit

import (
	"errors"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/values"
)

// DecodeArgs decodes the arguments of a tool that is written in Go; one that out
// has no field for is refused.
func DecodeArgs(args []byte, out any) error {
	if err := values.DecodeStrict(args, out); err != nil {
		return invalidArguments(err)
	}
	return nil
}

// DecodeResult decodes a result into out, a pointer, or nil to discard it, for
// those who implement [Caller]. What doesn't fit is invalid_result with the path.
func DecodeResult(result []byte, out any) error {
	if out == nil {
		return nil
	}
	var bad *values.Error
	if err := values.Decode(result, out); errors.As(err, &bad) {
		e := errdefs.New(errdefs.InvalidResult, "%s", bad.Error())
		e.Path, e.Hint = bad.Path, "the call itself succeeded"
		return e
	}
	return nil
}

// invalidArguments keeps the path to the value that is wrong.
func invalidArguments(err error) error {
	var bad *values.Error
	if errors.As(err, &bad) {
		return &errdefs.Error{Reason: errdefs.InvalidArguments, Message: bad.Error(), Path: bad.Path}
	}
	return errdefs.New(errdefs.InvalidArguments, "%v", err)
}
