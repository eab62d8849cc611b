package snakepit

import (
	"errors"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/values"
)

// decodeArgs decodes the arguments of a host tool; one that out has no field for
// is refused.
func decodeArgs(args []byte, out any) error {
	if err := values.DecodeStrict(args, out); err != nil {
		return invalidArguments(err)
	}
	return nil
}

// invalidArguments keeps the path to the value that is wrong.
func invalidArguments(err error) error {
	var bad *values.Error
	if errors.As(err, &bad) {
		return &errdefs.Error{Reason: errdefs.InvalidArguments, Message: bad.Message, Path: bad.Path}
	}
	return errdefs.New(errdefs.InvalidArguments, "%v", err)
}
