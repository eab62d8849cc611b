package host

import "github.com/snakepit-go/snakepit/proto/names"

// Request says what to run. The call's deadline is its context's.
type Request struct {
	Tool       string
	Payload    []byte    // the arguments: a msgpack map (proto/values); not changed, and not to be changed until the call has ended
	Pool       string    // empty: the session's, else the one that has the tool
	Session    SessionID // empty: none; one that isn't there is opened
	MustExist  bool      // fail with session_not_found instead of opening a session
	Idempotent bool      // run it again, once, when its worker died before it gave anything; not with Input
	Stream     bool      // the caller takes chunks
	Input      bool      // the caller sends chunks
	Metadata   map[string]string
}

func (r Request) validate() error {
	if err := names.CheckTool(r.Tool); err != nil {
		return err
	}
	if r.Session != "" || r.MustExist {
		if err := validateSessionID(r.Session); err != nil {
			return err
		}
	}
	if err := names.CheckMetadata(r.Metadata); err != nil {
		return err
	}
	return nil
}

// validateSessionID refuses what isn't 1 to 256 bytes of UTF-8.
func validateSessionID(id SessionID) error {
	if err := names.CheckID("session", string(id)); err != nil {
		return err
	}
	return nil
}
