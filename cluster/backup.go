package cluster

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	// backupMagic begins every backup.
	backupMagic = "snakepit registry backup\n"
	// backupFormat is the version of what follows it: a line of JSON, and the records
	// of a snapshot.
	backupFormat = 1
	// maxBackupHeader bounds that line, in bytes.
	maxBackupHeader = 4096
)

// backupHeader is the line that says what a backup has.
type backupHeader struct {
	Format     int    `json:"format"`
	Cluster    string `json:"cluster"`
	Node       string `json:"node"`       // who wrote it
	Generation uint64 `json:"generation"` // of epochs
	Index      uint64 `json:"index"`      // of the last entry in it
	Rules      uint32 `json:"rules"`      // the version that is needed to read it
	Sessions   int    `json:"sessions"`
	Size       int64  `json:"size"`   // of the records, in bytes
	SHA256     string `json:"sha256"` // of the records
}

// Backup writes the registry as it is at one moment, with all that any node
// acknowledged before the call: sessions with their state, and what else the nodes
// share. It blocks until it's written; ctx bounds that. Any node can do it, while
// there is a majority. [Restore] reads it. It's nobody's secret more than the
// registry's own files are, and as much theirs: it has what sessions keep.
// Errors: no_quorum, deadline, cancelled, those of w.
func (n *Node) Backup(ctx context.Context, w io.Writer) error {
	if err := n.check(ctx); err != nil {
		return err
	}
	if err := n.Consistent(ctx); err != nil {
		return err
	}
	s, err := n.machine.saved()
	if err != nil {
		return err
	}
	return writeBackup(ctx, w, s, n.ID())
}

// saved is the registry as it is, and doesn't change.
func (m *machine) saved() (*state, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.stopped != nil {
		return nil, m.stopped
	}
	return m.state.clone(), nil
}

// writeBackup writes the records twice: first only to know what the header says.
func writeBackup(ctx context.Context, w io.Writer, s *state, node string) error {
	sum := newSummer(nil)
	if err := writeSnapshot(within{ctx, sum}, s); err != nil {
		return err
	}
	line, err := json.Marshal(backupHeader{
		Format: backupFormat, Cluster: s.cluster, Node: node, Generation: s.generation, Index: s.index, Rules: s.level(),
		Sessions: len(s.sessions), Size: sum.size, SHA256: sum.text(),
	})
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, backupMagic+string(line)+"\n"); err != nil {
		return err
	}
	return writeSnapshot(within{ctx, w}, s)
}

// within stops writing when a context ends.
type within struct {
	ctx context.Context //nolint:containedctx // of the one call that it's for
	to  io.Writer
}

func (w within) Write(b []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, errdefs.Wrap(reasonOf(w.ctx), w.ctx.Err(), "the backup isn't whole")
	}
	return w.to.Write(b)
}

// readBackup reads a registry, and makes sure that it's whole.
func readBackup(from io.Reader) (*state, backupHeader, error) {
	r := bufio.NewReaderSize(from, 64<<10)
	header, err := readBackupHeader(r)
	if err != nil {
		return nil, header, err
	}
	sum := newSummer(io.LimitReader(r, header.Size))
	s, err := readSnapshot(sum)
	if _, failed := io.Copy(io.Discard, sum); failed != nil {
		return nil, header, errdefs.Wrap(errdefs.Internal, failed, "the backup can't be read")
	}
	switch {
	case sum.size < header.Size:
		return nil, header, badBackup("it ends after %d of %d bytes", sum.size, header.Size)
	case sum.text() != header.SHA256:
		return nil, header, badBackup("its content isn't what was written")
	case err != nil:
		return nil, header, err
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, header, badBackup("something follows its end")
	}
	return s, header, nil
}

func readBackupHeader(r *bufio.Reader) (header backupHeader, err error) {
	magic := make([]byte, len(backupMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != backupMagic {
		return header, errdefs.New(errdefs.InvalidArguments, "this isn't a backup of a registry")
	}
	line, err := r.ReadSlice('\n')
	if err != nil || len(line) > maxBackupHeader {
		return header, badBackup("it ends within its header")
	}
	if err := json.Unmarshal(line, &header); err != nil || header.Size < 0 {
		return header, badBackup("its header says nothing of use")
	}
	if header.Format > backupFormat {
		e := errdefs.New(errdefs.VersionMismatch, "the backup has format %d, and this program knows %d", header.Format, backupFormat)
		e.Hint = "restore it with the program that wrote it, or a newer one"
		return header, e
	}
	if header.Rules > rulesVersion {
		return header, versionMismatch(header.Rules, rulesVersion)
	}
	return header, nil
}

func badBackup(format string, args ...any) error {
	e := errdefs.New(errdefs.InvalidArguments, "the backup is damaged: "+format, args...)
	e.Hint = "nothing was changed: take another copy of it"
	return e
}

// summer measures what passes through it.
type summer struct {
	from io.Reader
	hash hash.Hash
	size int64
}

func newSummer(from io.Reader) *summer { return &summer{from: from, hash: sha256.New()} }

func (s *summer) Read(b []byte) (int, error) {
	n, err := s.from.Read(b)
	_, _ = s.Write(b[:n]) // never fails
	return n, err
}

func (s *summer) Write(b []byte) (int, error) {
	s.size += int64(len(b))
	return s.hash.Write(b)
}

func (s *summer) text() string { return hex.EncodeToString(s.hash.Sum(nil)) }
