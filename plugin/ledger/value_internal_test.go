package ledger

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/boltfile"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// stored makes a value as a program of some version would have.
func stored(version byte, body string) []byte {
	b := make([]byte, headerSize, headerSize+len(body))
	b[0] = version
	binary.BigEndian.PutUint32(b[1:], checksum([]byte(body)))
	return append(b, body...)
}

// withRows opens a ledger into which something else has written.
func withRows(t *testing.T, bucket string, rows map[string][]byte) *Ledger {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.db")
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		if _, err := makeBuckets(tx); err != nil {
			return err
		}
		for key, raw := range rows {
			if err := tx.Bucket([]byte(bucket)).Put([]byte(key), raw); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	l, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestNextVersionsFieldsOutliveOurWrites(t *testing.T) {
	t.Parallel()
	l := withRows(t, workersBucket, map[string][]byte{
		"w": stored(version+1, `{"worker":"w","token":"t","gpu":{"id":[3,1e100]},"PID":9,"Token":"x"}`),
	})
	id := Identity{Process: host.Process{PID: 5, StartTime: 7}, Boot: "b"}
	if err := l.Identify("w", id); err != nil {
		t.Fatal(err)
	}
	var raw []byte
	if err := l.view(func(tx *bolt.Tx) error {
		raw = append(raw, tx.Bucket([]byte(workersBucket)).Get([]byte("w"))...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := `{"PID":9,"Token":"x","boot":"b","gpu":{"id":[3,1e100]},"pid":5,"start_time":7,"token":"t","worker":"w"}`
	if raw[0] != version+1 || string(raw[headerSize:]) != want {
		t.Errorf("version %d: %s", raw[0], raw[headerSize:])
	}
	if r := recordOf([]byte("w"), raw); r.Err != nil || r.Process != id || r.Token != "t" {
		t.Errorf("read as %+v", r)
	}
}

func TestUnreadableRecordsAreReportedAndCanBeErased(t *testing.T) {
	t.Parallel()
	damaged := stored(1, `{"worker":"damaged","token":"t"}`)
	damaged[20] ^= 1
	unreadable := map[string][]byte{
		"short":      {1},
		"empty":      {},
		"damaged":    damaged,
		"far future": stored(version+2, `{"worker":"far future"}`),
		"no version": stored(0, `{"worker":"no version"}`),
		"not json":   stored(1, `{"worker":`),
		"null":       stored(1, `null`),
		"a list":     stored(1, `[]`),
		"another's":  stored(1, `{"worker":"x"}`),
		"a type":     stored(1, `{"worker":"a type","token":1}`),
		"a number":   stored(1, `{"worker":"a number","pid":1.5}`),
		"a negative": stored(1, `{"worker":"a negative","pid":-1}`),
		"too large":  stored(1, `{"worker":"too large","pid":4294967296}`),
		"too long":   stored(1, `{"worker":"too long","x":"`+strings.Repeat("x", maxValue)+`"}`),
	}
	l := withRows(t, workersBucket, unreadable)
	all, err := l.Records()
	if err != nil || len(all) != len(unreadable) {
		t.Fatalf("%d of %d records: %v", len(all), len(unreadable), err)
	}
	for _, r := range all {
		bare := Record{Worker: r.Worker, Raw: unreadable[string(r.Worker)], Err: r.Err}
		if diff := cmp.Diff(bare, r, cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) })); diff != "" || r.Err == nil {
			t.Errorf("%s: %v %s", r.Worker, r.Err, diff)
		}
		if err := l.Intend(Record{Worker: r.Worker, Token: "t"}); errdefs.ReasonOf(err) != errdefs.Exists {
			t.Errorf("%s: Intend: %v", r.Worker, err)
		}
		if err := l.Identify(r.Worker, Identity{Process: host.Process{PID: 5}}); errdefs.ReasonOf(err) != errdefs.Internal {
			t.Errorf("%s: Identify: %v", r.Worker, err)
		}
		if err := l.Erase(r.Worker); err != nil {
			t.Errorf("%s: Erase: %v", r.Worker, err)
		}
	}
	if all, err := l.Records(); err != nil || len(all) > 0 {
		t.Errorf("left: %v, %v", all, err)
	}
}

// TestFaultInOneWriteBreaksTheLedgerAndHangsNobody: see closeAfter.
func TestFaultInOneWriteBreaksTheLedgerAndHangsNobody(t *testing.T) {
	t.Parallel()
	l := withRows(t, workersBucket, nil)
	err := l.update(func(tx *bolt.Tx) error {
		_ = tx.Bucket([]byte("missing")).Get(nil) // a panic of bbolt's
		return nil
	})
	if !errors.Is(err, boltfile.ErrTorn) {
		t.Errorf("the write: %v", err)
	}
	if err := l.Erase("w"); !errors.Is(err, boltfile.ErrTorn) {
		t.Errorf("the next: %v", err)
	}
	if err := l.Close(); !errors.Is(err, boltfile.ErrTorn) {
		t.Errorf("Close: %v", err)
	}
}

// FuzzRecord: whatever is stored is read or reported, and what was read survives a
// rewrite as it is.
func FuzzRecord(f *testing.F) {
	whole := newValue()
	putIntent(whole, Record{Worker: "w", Token: "t", Pool: "p", Fingerprint: "f", Dir: "/d", Incarnation: 1 << 63})
	putIdentity(whole, Identity{Process: host.Process{PID: 4711, StartTime: 1<<64 - 1}, Boot: "b"})
	putReattach(whole, Reattach{Network: "unix", Address: "/s", ProtocolVersion: 1, AppVersion: 1, Slots: 4, Incarnation: 9})
	body, err := json.Marshal(whole.fields)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(body), `{}`, `null`, `{"worker":null}`, `{"pid":-1}`, `{"pid":1e3,"worker":"w"}`, `{"a":"<\u2028"}`, "{\"\xff\":1}"} {
		f.Add(byte(version), []byte(seed), true)
		f.Add(byte(version+1), []byte(seed), true)
		f.Add(byte(version+2), []byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, version byte, body []byte, sound bool) {
		raw := stored(version, string(body))
		if !sound {
			raw[1] ^= 1
		}
		r, err := decodeRecord(raw)
		if err != nil {
			if got := recordOf([]byte("w"), raw); got.Err == nil || got.Worker != "w" || string(got.Raw) != string(raw) {
				t.Fatalf("reported as %+v", got)
			}
			return
		}
		v, err := parseValue(raw)
		if err != nil || !sound {
			t.Fatalf("read once and not twice: %v", err)
		}
		again, err := v.bytes()
		if err != nil {
			return // grown beyond its bound by escapes
		}
		got, err := decodeRecord(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Fatal(diff)
		}
	})
}
