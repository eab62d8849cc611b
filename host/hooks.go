package host

import (
	"slices"
	"strings"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// Tools that aren't the adapter's: hooks of a session are called as tools of its
// worker, and workers reach the session's state as tools of the host. All names
// begin with "snakepit."; arguments and results are msgpack (proto/values).
const (
	// hookOpen tells a worker that it's a new session's home: {}; result: nothing.
	hookOpen = "snakepit.session.open"
	// hookRestore tells a worker that it's the home of a session that had another one:
	// {"state": {key: bytes}, "saved": bytes or nil}; result: nothing.
	hookRestore = "snakepit.session.restore"
	// hookSave asks for what is to go along with a planned move: {}; result: bytes, or nil.
	hookSave = "snakepit.session.save"
	// hookClose tells a worker that a session it was the home of has ended or gone
	// elsewhere: {"moved": bool}; result: nothing.
	hookClose = "snakepit.session.close"

	// stateGet gives the state of the calling tool's session: {}; result: {key: [bytes, version]}.
	stateGet = "snakepit.state.get"
	// stateSet changes it: {"changes": [{"key": text, "value": bytes or absent to
	// delete, "expected": version or absent}]}; result: the version.
	stateSet = "snakepit.state.set"
)

// A worker names among its capabilities which hooks its adapter has: those of others
// aren't called.
const (
	capableOpen    = "session_open"
	capableRestore = "session_restore"
	capableSave    = "session_save"
	capableClose   = "session_close"
)

// reserved begins the names of what isn't the adapter's, or the embedding program's.
const reserved = "snakepit."

func isReserved(tool string) bool { return strings.HasPrefix(tool, reserved) }

func reservedName(tool string) error {
	e := errdefs.New(errdefs.InvalidToolName, "tool name %q begins with %s", names.Cut(tool), reserved)
	e.Hint = "such names are the host's own: choose another"
	return e
}

// hooksOf gives the hooks that capabilities name. What else a worker says is dropped.
func hooksOf(capabilities []string) (hooks []string) {
	for _, h := range [][2]string{
		{capableOpen, hookOpen}, {capableRestore, hookRestore}, {capableSave, hookSave}, {capableClose, hookClose},
	} {
		if slices.Contains(capabilities, h[0]) {
			hooks = append(hooks, h[1])
		}
	}
	return hooks
}

// hooked reports whether a session's home is in service and its adapter has a hook.
func (p *pool) hooked(m *member, hook string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return m != nil && !m.gone() && slices.Contains(m.hooks, hook)
}

// methodOf is what an adapter's author knows a hook as.
func methodOf(hook string) string {
	return "on_session_" + strings.TrimPrefix(hook, "snakepit.session.")
}
