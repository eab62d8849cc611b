package cluster

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"slices"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// maxRecord is the size of the largest record of a snapshot, in bytes: an origin
// with as many outcomes as it can have.
const maxRecord = 16 << 20

// snapshot is the registry as it was at one index of the log.
type snapshot struct {
	state *state
}

// Persist implements [raft.FSMSnapshot]. It runs while the machine goes on.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if err := writeSnapshot(sink, s.state); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release implements [raft.FSMSnapshot].
func (s *snapshot) Release() {}

// writeSnapshot writes a state as records. Equal states give equal bytes.
func writeSnapshot(to io.Writer, s *state) error {
	w := &recordWriter{to: bufio.NewWriterSize(to, 64<<10)}
	w.write(&snakepitv1.RegistryRecord{Record: &snakepitv1.RegistryRecord_Header{
		Header: headerOf(s),
	}})
	for _, id := range slices.Sorted(maps.Keys(s.sessions)) {
		w.write(&snakepitv1.RegistryRecord{Record: &snakepitv1.RegistryRecord_Session{Session: savedSession(s.sessions[id])}})
	}
	for _, id := range slices.Sorted(maps.Keys(s.processes)) {
		w.write(&snakepitv1.RegistryRecord{Record: &snakepitv1.RegistryRecord_Process{Process: processToWire(*s.processes[id])}})
	}
	for _, id := range slices.Sorted(maps.Keys(s.nodes)) {
		w.write(&snakepitv1.RegistryRecord{Record: &snakepitv1.RegistryRecord_Node{Node: memberToWire(*s.nodes[id])}})
	}
	s.saveMembers(w)
	for _, id := range s.expired.oldestFirst() {
		w.write(&snakepitv1.RegistryRecord{Record: &snakepitv1.RegistryRecord_Expired{Expired: string(id)}})
	}
	for _, name := range s.origins.byIndex() {
		w.write(&snakepitv1.RegistryRecord{Record: &snakepitv1.RegistryRecord_Origin{Origin: originToWire(name, s.origins[name])}})
	}
	w.write(&snakepitv1.RegistryRecord{Record: &snakepitv1.RegistryRecord_End{End: &snakepitv1.SnapshotEnd{Records: w.written + 1}}})
	return w.flush()
}

// headerOf has nothing that a program of the agreed level wouldn't know.
func headerOf(s *state) *snakepitv1.SnapshotHeader {
	h := &snakepitv1.SnapshotHeader{Version: s.level(), Generation: s.generation}
	if s.level() > 1 {
		h.Index, h.Level, h.Cluster = s.index, s.raised, s.cluster
	}
	return h
}

// recordWriter keeps the first error.
type recordWriter struct {
	to      *bufio.Writer
	written uint64
	err     error
}

func (w *recordWriter) write(r *snakepitv1.RegistryRecord) {
	if w.err != nil {
		return
	}
	options := protodelim.MarshalOptions{MarshalOptions: proto.MarshalOptions{Deterministic: true}}
	_, w.err = options.MarshalTo(w.to, r)
	w.written++
}

func (w *recordWriter) flush() error {
	if w.err != nil {
		return w.err
	}
	return w.to.Flush()
}

// readSnapshot reads a state. It fails with version_mismatch when a newer program
// wrote it, and with internal when it is incomplete or isn't one.
func readSnapshot(from io.Reader) (*state, error) {
	r := &recordReader{from: bufio.NewReaderSize(from, 64<<10)}
	header := r.read().GetHeader()
	if r.err != nil {
		return nil, r.err
	}
	if header == nil {
		return nil, badSnapshot("it has no header")
	}
	if err := checkVersion(header.GetVersion(), header); err != nil {
		return nil, err
	}
	s := newState()
	s.generation, s.index = header.GetGeneration(), header.GetIndex()
	s.raised, s.cluster = header.GetLevel(), header.GetCluster()
	for {
		record := r.read()
		if r.err != nil {
			return nil, r.err
		}
		if end := record.GetEnd(); end != nil {
			return s, r.checkEnd(end)
		}
		if err := s.restore(record); err != nil {
			return nil, err
		}
	}
}

// restore adds one record.
func (s *state) restore(record *snakepitv1.RegistryRecord) error {
	switch r := record.GetRecord().(type) {
	case *snakepitv1.RegistryRecord_Session:
		session := rowFromWire(r.Session)
		if s.sessions[session.ID] != nil {
			return badSnapshot("a session is there twice")
		}
		s.sessions[session.ID] = &session
	case *snakepitv1.RegistryRecord_Process:
		p := processFromWire(r.Process)
		if s.processes[p.Worker] != nil {
			return badSnapshot("a process is there twice")
		}
		s.processes[p.Worker] = &p
	case *snakepitv1.RegistryRecord_Node:
		m := memberFromWire(r.Node)
		if s.nodes[m.ID] != nil || len(s.nodes) >= maxNodes || m.Status == "" {
			return badSnapshot("a node is there twice, or there are too many")
		}
		s.nodes[m.ID] = &m
	case *snakepitv1.RegistryRecord_Expired:
		if id := host.SessionID(r.Expired); s.expired.has(id) {
			return badSnapshot("an expired session is there twice")
		}
		s.expired.add(host.SessionID(r.Expired))
	case *snakepitv1.RegistryRecord_Origin:
		return s.restoreOrigin(r.Origin)
	default:
		return s.restoreMember(record)
	}
	return nil
}

func (s *state) restoreOrigin(w *snakepitv1.SnapshotOrigin) error {
	if s.origins[w.GetName()] != nil || len(s.origins) >= maxOrigins || len(w.GetOutcomes()) > maxOutcomes {
		return badSnapshot("an origin is there twice, or there are too many")
	}
	o := &origin{index: w.GetIndex(), highest: w.GetHighest()}
	for _, n := range w.GetOutcomes() {
		o.outcomes = append(o.outcomes, numbered{n.GetNumber(), outcomeFromWire(n.GetOutcome())})
	}
	s.origins[w.GetName()] = o
	return nil
}

func originToWire(name string, o *origin) *snakepitv1.SnapshotOrigin {
	w := &snakepitv1.SnapshotOrigin{Name: name, Index: o.index, Highest: o.highest}
	for _, n := range o.outcomes {
		w.Outcomes = append(w.Outcomes, &snakepitv1.SnapshotOutcome{Number: n.number, Outcome: outcomeToWire(n.outcome)})
	}
	return w
}

// recordReader keeps the first error.
type recordReader struct {
	from *bufio.Reader
	got  uint64
	err  error
}

func (r *recordReader) read() *snakepitv1.RegistryRecord {
	record := &snakepitv1.RegistryRecord{}
	options := protodelim.UnmarshalOptions{MaxSize: maxRecord}
	switch err := options.UnmarshalFrom(r.from, record); {
	case errors.Is(err, io.EOF):
		r.err = badSnapshot("it has no end")
	case err != nil:
		r.err = errdefs.Wrap(errdefs.Internal, err, "a snapshot of the registry can't be read")
	case record.GetRecord() == nil || unknown(record.ProtoReflect()):
		r.err = versionMismatch(rulesVersion+1, rulesVersion)
	}
	r.got++
	return record
}

// checkEnd makes sure that nothing is missing, and that nothing follows.
func (r *recordReader) checkEnd(end *snakepitv1.SnapshotEnd) error {
	if end.GetRecords() != r.got {
		return badSnapshot("records are missing")
	}
	if _, err := r.from.ReadByte(); !errors.Is(err, io.EOF) {
		return badSnapshot("something follows its end")
	}
	return nil
}

func badSnapshot(what string) error {
	return errdefs.New(errdefs.Internal, "a snapshot of the registry is damaged: %s", what)
}
