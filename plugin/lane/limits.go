package lane

import (
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Limits are what one side of a lane takes from the other, in bytes of payload
// where nothing else is said. Zero means the default. All but MaxPayload can only
// be lowered: what is above the default counts as the default.
type Limits struct {
	MaxFrame   int // one frame; default 256 KiB
	MaxPayload int // one message of any number of frames; default 256 MiB
	CallWindow int // what may be on its way or unread, for each call; default 1 MiB
	LaneWindow int // what may be on its way, for the whole lane; default 4 MiB
	MaxCalls   int // how many calls the other side may have open; default 1024
}

const (
	version           = 1
	defaultPayload    = 256 << 20
	defaultCallWindow = 1 << 20
	defaultLaneWindow = 4 << 20
	defaultCalls      = 1024
)

func defaults() Limits {
	return Limits{
		MaxFrame: defaultFrame, MaxPayload: defaultPayload,
		CallWindow: defaultCallWindow, LaneWindow: defaultLaneWindow, MaxCalls: defaultCalls,
	}
}

// own fills in what isn't set and lowers what is too high.
func (l Limits) own() Limits {
	d := defaults()
	set := func(v, def int) int {
		if v <= 0 {
			return def
		}
		return v
	}
	return Limits{
		MaxFrame:   min(set(l.MaxFrame, d.MaxFrame), d.MaxFrame),
		MaxPayload: set(l.MaxPayload, d.MaxPayload),
		CallWindow: min(set(l.CallWindow, d.CallWindow), d.CallWindow),
		LaneWindow: min(set(l.LaneWindow, d.LaneWindow), d.LaneWindow),
		MaxCalls:   min(set(l.MaxCalls, d.MaxCalls), d.MaxCalls),
	}
}

// limitsOf reads a peer's limits. Zeros are refused: a peer that takes nothing is
// of no use, and one that didn't say is broken.
func limitsOf(h *snakepitv1.Hello) (Limits, error) {
	if h.GetMaxFrame() == 0 || h.GetMaxPayload() == 0 || h.GetCallWindow() == 0 || h.GetLaneWindow() == 0 || h.GetMaxCalls() == 0 {
		return Limits{}, errdefs.New(errdefs.Protocol, "a hello without limits")
	}
	d := defaults()
	low := func(v uint64, def int) int { return int(min(v, uint64(def))) } //nolint:gosec // bounded by the min
	const most = 1 << 40
	return Limits{
		MaxFrame:   low(h.GetMaxFrame(), d.MaxFrame),
		MaxPayload: int(min(h.GetMaxPayload(), most)), //nolint:gosec // bounded by the min
		CallWindow: low(h.GetCallWindow(), d.CallWindow),
		LaneWindow: low(h.GetLaneWindow(), d.LaneWindow),
		MaxCalls:   low(uint64(h.GetMaxCalls()), d.MaxCalls),
	}, nil
}

func (l Limits) hello() *snakepitv1.Hello {
	return &snakepitv1.Hello{
		VersionMin: version, VersionMax: version,
		MaxFrame:   uint64(l.MaxFrame),   //nolint:gosec // positive
		MaxPayload: uint64(l.MaxPayload), //nolint:gosec // positive
		CallWindow: uint64(l.CallWindow), //nolint:gosec // positive
		LaneWindow: uint64(l.LaneWindow), //nolint:gosec // positive
		MaxCalls:   uint32(l.MaxCalls),   //nolint:gosec // positive, at most 1024
	}
}
