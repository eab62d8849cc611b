package lane

import (
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

const (
	batchBytes = 64 << 10 // a batch takes no further chunk beyond this
	keepSlots  = 256
)

// batch is the frames of one write. Its memory is used again for the next one.
type batch struct {
	frames []*snakepitv1.Frame
	slots  []*slot
	bytes  int // of payload
}

// slot is one frame with room for the three kinds that carry payloads.
type slot struct {
	frame snakepitv1.Frame
	call  snakepitv1.Frame_Call
	data  snakepitv1.Frame_Data
	end   snakepitv1.Frame_End
	open  snakepitv1.Call
	chunk snakepitv1.Data
	last  snakepitv1.End
}

func newSlot() *slot {
	s := &slot{}
	s.call.Call, s.data.Data, s.end.End = &s.open, &s.chunk, &s.last
	return s
}

func (b *batch) slot(id uint64) *slot {
	if len(b.frames) == len(b.slots) {
		b.slots = append(b.slots, newSlot())
	}
	s := b.slots[len(b.frames)]
	s.frame.CallId, s.frame.More = id, false
	b.frames = append(b.frames, &s.frame)
	return s
}

// control adds a frame of a kind without a payload.
func (b *batch) control(id uint64, f *snakepitv1.Frame) {
	f.CallId = id
	s := b.slot(id)
	s.frame.Kind = f.GetKind()
	s.frame.Optional = f.GetOptional()
}

func (b *batch) openCall(id uint64, r *Request, timeout uint64, payload []byte, more bool) {
	s := b.slot(id)
	s.open.Payload = payload
	if r != nil {
		s.open.Tool, s.open.Session, s.open.Id, s.open.Metadata = r.Tool, r.Session, r.ID, r.Metadata
		s.open.Epoch, s.open.Away = r.Epoch, r.Away
		s.open.Stream, s.open.Input, s.open.Parent, s.open.TimeoutUs = r.Stream, r.Input, r.Parent, timeout
	}
	s.frame.Kind, s.frame.More = &s.call, more
	b.bytes += len(payload)
}

func (b *batch) chunk(id uint64, payload []byte, more bool) {
	s := b.slot(id)
	s.chunk.Payload = payload
	s.frame.Kind, s.frame.More = &s.data, more
	b.bytes += len(payload)
}

func (b *batch) endCall(id uint64, payload []byte, err *snakepitv1.Error, more bool) {
	s := b.slot(id)
	s.last.Payload, s.last.Error = payload, err
	s.frame.Kind, s.frame.More = &s.end, more
	b.bytes += len(payload)
}

// reset lets go of everything that the frames referred to.
func (b *batch) reset() {
	for _, s := range b.slots[:len(b.frames)] {
		s.frame.Kind, s.frame.Optional = nil, false
		if s.open.Tool != "" || s.open.Payload != nil {
			s.open.Tool, s.open.Session, s.open.Id, s.open.Metadata = "", "", "", nil
			s.open.Epoch, s.open.Away = 0, false
			s.open.Stream, s.open.Input, s.open.Parent, s.open.TimeoutUs = false, false, 0, 0
			s.open.Payload = nil
		}
		s.chunk.Payload = nil
		s.last.Payload, s.last.Error = nil, nil
	}
	if len(b.slots) > keepSlots {
		b.slots = b.slots[:keepSlots:keepSlots]
	}
	clear(b.frames)
	b.frames, b.bytes = b.frames[:0], 0
}
