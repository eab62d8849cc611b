package embed

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/snakepit-go/snakepit/plugin"
	"github.com/snakepit-go/snakepit/plugin/shim"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	lockFile       = "lock"
	recordFile     = "host.json"
	socketFile     = "api.sock"
	logFolder      = "logs"
	ledgerFile     = "ledger.db"
	registryFolder = "registry"
	// instanceFile names whose workers a folder's are: the tokens of all of them begin with it.
	instanceFile = "instance"
	// halfMade marks folders that aren't locked yet, or are going away.
	halfMade = ".new-"
)

// dirs are the folders of one host. data outlives it, unless the host is private;
// run holds sockets, has a short path, and does only while workers live on in it.
type dirs struct {
	data     string // empty: private
	run      string
	instance string
	locks    []*os.File
}

// openDirs makes and locks a host's folders. data empty means a private host. With
// an inheritance they are there, and locked.
func openDirs(data string, in *inheritance) (*dirs, error) {
	data, err := absolute(data)
	if err != nil {
		return nil, err
	}
	if in != nil {
		d := &dirs{data: data, instance: plugin.NewInstance()}
		return d, d.inherit(in.locks)
	}
	base, err := runBase(data)
	if err != nil {
		return nil, err
	}
	sweep(base)
	d := &dirs{data: data, instance: plugin.NewInstance()}
	if data != "" {
		if err := d.lockData(); err != nil {
			return nil, err
		}
		if err := d.nameInstance(); err != nil {
			return nil, errors.Join(dirError(d.data, err), d.close())
		}
	}
	if err := d.openRun(base); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// absolute is a path from the root; empty stays empty.
func absolute(data string) (string, error) {
	if data == "" {
		return "", nil
	}
	abs, err := filepath.Abs(data)
	if err != nil {
		return "", dirError(data, err)
	}
	return abs, nil
}

// nameInstance reads the instance of the data directory, or names a new one's. The
// name stands with the directory's own: in a copy, which may be in use beside the
// original, it doesn't count.
func (d *dirs) nameInstance() error {
	name, err := instanceOfData(d.data)
	if err != nil {
		return err
	}
	if len(name) == len(d.instance) {
		d.instance = name
		return nil
	}
	return replaceFile(filepath.Join(d.data, instanceFile), d.instance+"\n"+d.data+"\n")
}

// instanceOfData says whose workers a data directory's are; empty: nobody's, or it's a copy.
func instanceOfData(data string) (string, error) {
	b, err := os.ReadFile(filepath.Join(data, instanceFile))
	name, ok := strings.CutSuffix(string(b), "\n"+data+"\n")
	if !ok {
		name = ""
	}
	return name, ignoreMissing(err)
}

// replaceFile writes a file in one step, durably.
func replaceFile(path, text string) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// lockData takes the data directory, or says who has it.
func (d *dirs) lockData() error {
	if err := os.MkdirAll(filepath.Join(d.data, logFolder), 0o700); err != nil {
		return dirError(d.data, err)
	}
	f, err := os.OpenFile(filepath.Join(d.data, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return dirError(d.data, err)
	}
	if err := lockForHost(f); err != nil {
		_ = f.Close() // read only so far
		return belongsTo(d.data)
	}
	d.locks = append(d.locks, f)
	if err := writePID(f, ""); err != nil {
		return errors.Join(dirError(d.data, err), d.close())
	}
	return nil
}

// cleanupMark stands behind the pid in the lock of a data directory while it's swept.
const cleanupMark = " cleanup"

// lockForHost locks a data directory, and waits for a cleanup of it.
func lockForHost(f *os.File) error {
	for deadline := time.Now().Add(sweepPatience); ; time.Sleep(lockPause) {
		err := lock(f)
		if err == nil || !strings.HasSuffix(word(filepath.Dir(f.Name()), lockFile), cleanupMark) || time.Now().After(deadline) {
			return err
		}
	}
}

// belongsTo says who has a data directory.
func belongsTo(dir string) error {
	who := "process " + strconv.Itoa(holderOf(dir))
	if holderOf(dir) == 0 {
		who = "which has only just started"
	}
	e := errdefs.New(errdefs.Exists, "data directory %s belongs to a live host, %s", dir, who)
	e.Hint = "stop that host, or run a second one beside it, with --instance NAME or another --data-dir"
	return e
}

// writePID says in a lock file who has it, and what for.
func writePID(f *os.File, what string) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+what+"\n"), 0)
	return err
}

func dirError(dir string, err error) error {
	if isDiskFull(err) {
		e := errdefs.Wrap(errdefs.DiskFull, err, "data directory %s", dir)
		e.Hint = "make room there, or give another folder with --data-dir"
		return e
	}
	e := errdefs.Wrap(errdefs.InvalidConfig, err, "data directory %s", dir)
	e.Hint = "give a folder that this user can write, with --data-dir"
	return e
}

// openRun takes the folder for sockets: under a name made from the data directory's,
// or of its own for a private host. Where the workers of the last host live on in it,
// it's that very folder.
func (d *dirs) openRun(base string) error {
	run := filepath.Join(base, d.runName())
	release, err := lockBase(base)
	if err != nil {
		return err
	}
	defer release()
	if shim.InUse(run) {
		return d.takeRun(run)
	}
	return d.makeRun(base, run)
}

func (d *dirs) runName() string {
	if d.data == "" {
		return randomName()
	}
	return runName(d.data)
}

// runName is the name of a data directory's run folder, whatever the path to it.
func runName(data string) string {
	if path, err := filepath.EvalSymlinks(data); err == nil {
		data = path
	}
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:4])
}

// takeRun goes on with the folder of a host that is gone: its data directory's lock is ours.
func (d *dirs) takeRun(run string) error {
	f, err := os.OpenFile(filepath.Join(run, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return dirError(run, err)
	}
	d.locks = append(d.locks, f)
	if err := lock(f); err != nil {
		return dirError(run, err)
	}
	d.run = run
	if err := writePID(f, ""); err != nil {
		return dirError(run, err)
	}
	return ignoreMissing(os.Remove(d.socket()))
}

// makeRun makes the folder. It's locked before it gets its name, so that a sweep
// never takes a live one.
func (d *dirs) makeRun(base, run string) error {
	fresh := filepath.Join(base, halfMade+randomName())
	if err := d.fillRun(base, fresh, run); err != nil {
		return errors.Join(err, os.RemoveAll(fresh))
	}
	d.run = run
	return nil
}

func (d *dirs) fillRun(base, fresh, run string) error {
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return dirError(base, err)
	}
	f, err := os.OpenFile(filepath.Join(fresh, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return dirError(base, err)
	}
	d.locks = append(d.locks, f)
	if err := lock(f); err != nil {
		return dirError(base, err)
	}
	if err := errors.Join(
		writePID(f, ""),
		os.WriteFile(filepath.Join(fresh, instanceFile), []byte(d.instance+"\n"), 0o600),
		os.WriteFile(filepath.Join(fresh, ownerFile), []byte(d.data+"\n"), 0o600),
	); err != nil {
		return dirError(base, err)
	}
	if err := os.RemoveAll(run); err != nil { // of a host that is gone: its data directory's lock is ours
		return dirError(base, err)
	}
	if err := os.Rename(fresh, run); err != nil {
		return dirError(base, err)
	}
	return nil
}

func randomName() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// close gives the folders up; a private host's leave nothing behind. The run folder stays
// while workers live on in it: they wait for the next host, or another one has adopted them.
func (d *dirs) close() error {
	var errs []error
	switch {
	case d.run == "":
	case shim.InUse(d.run):
		errs = append(errs, ignoreMissing(os.Remove(d.socket())))
	default:
		errs = append(errs, os.RemoveAll(d.run))
	}
	if d.data != "" {
		errs = append(errs, ignoreMissing(os.Remove(filepath.Join(d.data, recordFile))))
	}
	for _, f := range d.locks {
		errs = append(errs, unlock(f))
	}
	return errors.Join(errs...)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// LogDir is where the host of a data directory keeps its workers' logs, WORKER.log,
// and the one before of each, WORKER.log.1.
func LogDir(dataDir string) string { return filepath.Join(dataDir, logFolder) }

func (d *dirs) logs() string {
	if d.data == "" {
		return ""
	}
	return filepath.Join(d.data, logFolder)
}

// ledger is where the records of processes are: with a private host in memory.
func (d *dirs) ledger() string {
	if d.data == "" {
		return filepath.Join(d.run, ledgerFile)
	}
	return filepath.Join(d.data, ledgerFile)
}

func (d *dirs) registry() string { return filepath.Join(d.data, registryFolder) }

func (d *dirs) socket() string { return filepath.Join(d.run, socketFile) }

// runBase is the parent of all run folders: in memory, short, private to the user.
func runBase(data string) (string, error) {
	base := runBaseOf(data)
	if err := os.MkdirAll(base, 0o700); err != nil {
		return "", dirError(base, err)
	}
	return base, checkPrivate(base)
}

// runBaseOf is where it is; it may not be there.
func runBaseOf(data string) string {
	switch xdg := os.Getenv("XDG_RUNTIME_DIR"); {
	case xdg != "" && writable(xdg):
		return filepath.Join(xdg, "snakepit")
	case os.Getuid() == 0 && writable("/run"):
		return "/run/snakepit"
	case data != "":
		return filepath.Join(data, "run")
	default:
		return filepath.Join(os.TempDir(), fmt.Sprintf("snakepit-%d", os.Getuid()))
	}
}

func checkPrivate(base string) error {
	st, err := os.Lstat(base)
	if err != nil {
		return dirError(base, err)
	}
	if !st.IsDir() || !ownedByUs(st) || st.Mode().Perm()&0o077 != 0 {
		return dirError(base, errors.New("it isn't a folder that only this user can open"))
	}
	return nil
}

func writable(dir string) bool {
	f, err := os.CreateTemp(dir, ".snakepit-*")
	if err != nil {
		return false
	}
	_ = f.Close()
	return os.Remove(f.Name()) == nil
}

// Record is what a live host tells about itself in its data directory's host.json.
type Record struct {
	PID       int       `json:"pid"`
	Node      string    `json:"node"`
	Socket    string    `json:"socket"`
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
}

// ReadRecord reads a data directory's host.json. It's there while a host serves
// the directory, and after one was killed: dialling its socket tells.
func ReadRecord(dataDir string) (Record, error) {
	var r Record
	b, err := os.ReadFile(filepath.Join(dataDir, recordFile))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%s: %w", filepath.Join(dataDir, recordFile), err)
	}
	return r, nil
}

// writeRecord replaces host.json in one step.
func (d *dirs) writeRecord(r Record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	tmp := filepath.Join(d.data, recordFile+".new")
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return dirError(d.data, err)
	}
	if err := os.Rename(tmp, filepath.Join(d.data, recordFile)); err != nil {
		return dirError(d.data, err)
	}
	return nil
}
