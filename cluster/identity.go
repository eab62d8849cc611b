package cluster

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// identity is what a node must know of itself even when its log is lost.
type identity struct {
	ID string `json:"id"` // never changes, and is nobody else's
	// Generation is the last one of epochs that this node has begun, or was about
	// to: see Epoch in the package's DESIGN.md.
	Generation uint64 `json:"generation"`
	// Cluster is the one that it belongs to; empty: none with an id yet.
	Cluster string `json:"cluster,omitempty"`
	// Member says that others may count on this node's log and vote.
	Member bool `json:"member,omitempty"`
	// Start is the last one that a cluster has registered.
	Start start `json:"start,omitzero"`
	// Ahead says that it was made before there was a log: see [NodeID].
	Ahead bool `json:"ahead,omitempty"`
}

// start is one run of a node's process.
type start struct {
	Nonce   string         `json:"nonce"`
	Machine host.MachineID `json:"machine"`
	Process host.Process   `json:"process"`
}

const identityFile = "node.json"

// NodeID is the id of the node in a directory, which is made if need be, without
// opening the registry: a certificate is asked for under it before there's a port
// to join by. No other process may use the directory meanwhile.
//
// Errors: as those of [Open].
func NodeID(dir string) (string, error) {
	d := &disk{dir: dir}
	known, err := d.openIdentity()
	if err != nil {
		return "", openError(dir, err)
	}
	if !known {
		d.identity.Ahead = true
		if err := d.identity.write(dir); err != nil {
			return "", openError(dir, err)
		}
	}
	return d.identity.ID, nil
}

// Belongs is the id of the cluster that the node in a directory belongs to; empty: of
// none yet, so that a token is needed to join one.
func Belongs(dir string) (cluster string, err error) {
	id, _, err := readIdentity(dir)
	if err != nil {
		return "", openError(dir, err)
	}
	return id.Cluster, nil
}

// readIdentity reads the identity in dir. known is false when there is none yet.
func readIdentity(dir string) (id identity, known bool, err error) {
	content, err := os.ReadFile(filepath.Join(dir, identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return identity{}, false, nil
	}
	if err != nil {
		return identity{}, false, err
	}
	if err := json.Unmarshal(content, &id); err != nil || id.ID == "" {
		e := errdefs.New(errdefs.Internal, "%s says nothing of use", filepath.Join(dir, identityFile))
		e.Hint = "bring it back from a copy, or move the whole directory away to begin anew"
		return identity{}, false, e
	}
	return id, true, nil
}

// write is durable when it returns, and leaves either the old file or the new one.
func (id identity) write(dir string) error {
	content, err := json.Marshal(id)
	if err != nil {
		return err
	}
	next := filepath.Join(dir, identityFile+".next")
	if err := writeSynced(next, append(content, '\n')); err != nil {
		return err
	}
	if err := os.Rename(next, filepath.Join(dir, identityFile)); err != nil {
		return err
	}
	return syncDir(dir)
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// newUUID is a random one, of version 4.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b[:])
	return fmt.Sprintf("%s-%s-%s-%s-%s", s[:8], s[8:12], s[12:16], s[16:20], s[20:])
}
