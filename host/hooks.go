package host

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
