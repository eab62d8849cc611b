package snakepit

import (
	"encoding/json"

	"github.com/snakepit-go/snakepit/proto/values"
)

// NewChunk makes a chunk of an encoded value, for those who implement [Caller].
func NewChunk(raw []byte) Chunk { return Chunk{raw: raw} }

// Decode decodes the chunk into out, a pointer.
func (c Chunk) Decode(out any) error { return DecodeResult(c.raw, out) }

// JSON is the chunk as JSON; proto/VALUES.md says how each type looks there.
func (c Chunk) JSON() (json.RawMessage, error) { return values.ToJSON(c.raw) }

// Raw is the chunk as it travelled: msgpack. It isn't to be changed.
func (c Chunk) Raw() []byte { return c.raw }
