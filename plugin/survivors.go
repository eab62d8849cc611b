package plugin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/plugin/shim"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// reattachTimeout is how long a survivor may take to answer.
const reattachTimeout = 10 * time.Second

// survivor is a worker that an earlier host has left, as its keeper gives it.
type survivor struct {
	rec         ledger.Record
	frozen      bool
	adopt       func(p *process) child // p hears of it from then on
	incarnation uint64                 // the last that attached to it, if that's known
	foreign     bool                   // it was another host's
}

func (s *survivor) survivor(id host.WorkerID) host.Survivor {
	return host.Survivor{Worker: id, Pool: s.rec.Pool, Frozen: s.frozen}
}

// Recover finds what an earlier host of this instance has left: the workers that
// can go on are [Launcher.Survivors] then, whatever else is verifiably ours is
// ended. It's called once, before Run, and blocks until that is done. It fails with
// exists when that host lives.
func (l *Launcher) Recover(ctx context.Context) error {
	recorded, err := l.recorded()
	if err != nil {
		return err
	}
	found, theirs, err := l.nursery.recover(ctx)
	if err != nil {
		return err
	}
	var ending sync.WaitGroup
	defer ending.Wait()
	for _, f := range found {
		rec := f.rec
		known, ok := recorded[rec.Worker]
		if ok = ok && known.Token == rec.Token; ok {
			rec = known
		}
		delete(recorded, rec.Worker)
		if isForkserver(rec.Worker) { // each host has its own: what this one imported may be out of date
			ending.Go(f.end)
			recorded[rec.Worker] = rec
			continue
		}
		if why := unusable(rec, f.id); why != "" {
			l.log(rec.Worker).Warn("a worker of the last host is ended", "why", why, "pid", f.id.PID)
			ending.Go(f.end)
			recorded[rec.Worker] = rec
			continue
		}
		if !ok {
			if err := l.records.restore(rec); err != nil {
				return err // none that isn't recorded
			}
		}
		l.survivors[rec.Worker] = &survivor{rec: rec, frozen: f.frozen, adopt: f.adopt, incarnation: f.incarnation}
		l.gpus.keep(rec.Worker, rec.Devices)
	}
	ending.Wait()
	return l.tidy(recorded, theirs)
}

// found is a live process that the keeper has, and what it remembers of it.
type found struct {
	rec         ledger.Record
	id          host.Process
	frozen      bool   // since the last lease ended
	incarnation uint64 // the last that attached to it, if that's known
	adopt       func(p *process) child
	end         func() // blocks until the process is gone, or can't be killed
}

// unusable says why a process that is there can't be gone on with; empty: it can.
func unusable(rec ledger.Record, id host.Process) string {
	switch {
	case rec.Reattach.Address == "":
		return "its start wasn't finished"
	case rec.Reattach.AppVersion != protocolVersion || rec.Reattach.ProtocolVersion != coreVersion:
		return fmt.Sprintf("it speaks version %d", rec.Reattach.AppVersion)
	case rec.Process.Process != id || rec.Process.Boot != proc.BootID():
		return fmt.Sprintf("it was recorded as process %d", rec.Process.PID)
	}
	return ""
}

func (l *Launcher) recorded() (map[host.WorkerID]ledger.Record, error) {
	all := map[host.WorkerID]ledger.Record{}
	if l.cfg.Ledger == nil {
		return all, nil
	}
	records, err := l.cfg.Ledger.Records()
	for _, r := range records {
		if r.Err != nil {
			l.log(r.Worker).Warn("a record in the ledger can't be read; its process is looked for by its token", "err", r.Err)
		}
		all[r.Worker] = r
	}
	return all, err
}

// tidy ends what carries our tokens and is neither a survivor nor another host's by
// now, and forgets the dead.
func (l *Launcher) tidy(dead map[host.WorkerID]ledger.Record, theirs []ledger.Record) error {
	keep, folders := map[string]bool{}, map[string]bool{}
	for _, s := range l.survivors {
		keep[s.rec.Token], folders[filepath.Base(s.rec.Dir)] = true, true
	}
	var errs []error
	for _, t := range theirs {
		keep[t.Token], folders[filepath.Base(t.Dir)] = true, true
		if rec := dead[t.Worker]; rec.Token == t.Token { // the heir has its own
			folders[filepath.Base(rec.Dir)] = true
			errs = append(errs, l.records.erase(t.Worker))
			delete(dead, t.Worker)
		}
	}
	for _, o := range sweep(tokensOf(l.cfg.Instance, keep), true) {
		l.log(host.WorkerID(o.Token)).Warn("a process that a dead host left behind was ended", "pid", o.PID, "command", o.Command)
	}
	var foreign []ledger.Record
	for id, rec := range dead {
		if l.isForeign(rec) {
			foreign = append(foreign, rec)
		}
		if rec.Process.Boot == proc.BootID() && rec.Process.PID > 0 && isTokenOf(rec.Token, l.cfg.Instance) {
			proc.Kill(proc.ID{PID: rec.Process.PID, Start: rec.Process.StartTime})
		}
		if within(rec.Dir, l.cfg.Dir) {
			errs = append(errs, os.RemoveAll(rec.Dir))
		}
		errs = append(errs, l.records.erase(id))
	}
	return errors.Join(append(errs, l.tidyForeign(foreign), l.tidyFolders(folders))...)
}

// tidyFolders removes the folders of workers that are gone. Not every one stands in
// a record: the ledger may have been torn, or the host killed before its first word.
func (l *Launcher) tidyFolders(keep map[string]bool) error {
	entries, err := os.ReadDir(l.cfg.Dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() && isWorkerDir(e.Name()) && !keep[e.Name()] {
			errs = append(errs, os.RemoveAll(filepath.Join(l.cfg.Dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

func within(path, dir string) bool {
	return strings.HasPrefix(filepath.Clean(path), filepath.Clean(dir)+string(filepath.Separator))
}

func (l *Launcher) log(id host.WorkerID) hclog.Logger {
	return l.cfg.Logger.Named("worker").With("worker", string(id))
}

// Survivors implements host.Reattacher.
func (l *Launcher) Survivors() []host.Survivor {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []host.Survivor
	for _, id := range slices.Sorted(maps.Keys(l.survivors)) {
		out = append(out, l.survivors[id].survivor(id))
	}
	return out
}

func (l *Launcher) takeSurvivor(id host.WorkerID) *survivor {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.survivors[id]
	delete(l.survivors, id)
	return s
}

// Forsake implements host.Reattacher.
func (l *Launcher) Forsake(id host.WorkerID) {
	s := l.takeSurvivor(id)
	if s == nil {
		return
	}
	p := l.attached(id, s, shim.Limits{})
	p.Signal(sigKill)
	l.wg.Go(func() {
		<-p.exited
		_ = os.RemoveAll(s.rec.Dir) // sockets of a dead process
	})
}

// attached makes a process of a survivor.
func (l *Launcher) attached(id host.WorkerID, s *survivor, limits shim.Limits) *process {
	log := &workerLog{logger: l.log(id)}
	p := newProcess(id, &exec.Cmd{Path: string(id)}, log, l)
	p.token, p.about, p.limits, p.foreign = s.rec.Token, s.rec, limits, s.foreign
	p.shook = &handshake{
		core: s.rec.Reattach.ProtocolVersion, app: s.rec.Reattach.AppVersion, network: s.rec.Reattach.Network, addr: s.rec.Reattach.Address,
	}
	p.listen()
	p.born(s.adopt(p))
	return p
}

// Reattach implements host.Reattacher.
func (l *Launcher) Reattach(ctx context.Context, spec host.Spec, serve host.ToolServer) (host.Worker, error) {
	where := errdefs.Where{Pool: spec.Pool, Worker: string(spec.Worker)}
	sv := l.takeSurvivor(spec.Worker)
	if sv == nil {
		return nil, errdefs.New(errdefs.WorkerNotFound, "no such worker was left").At(where)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, reattachTimeout, fmt.Errorf("the worker didn't answer within %s", reattachTimeout))
	defer cancel()
	s := &startup{
		l: l, spec: spec, dir: sv.rec.Dir, logger: l.log(spec.Worker), after: sv.incarnation,
		proc: l.attached(spec.Worker, sv, limitsOf(spec.Settings.Limits)),
	}
	w, err := s.reattach(ctx, sv.rec, serve)
	if err != nil {
		byItself := isClosed(s.proc.exited)
		s.proc.Signal(sigKill)
		s.discard()
		return nil, s.explain(ctx, err, byItself).At(where)
	}
	return w, nil
}

func (s *startup) reattach(ctx context.Context, rec ledger.Record, serve host.ToolServer) (host.Worker, error) {
	if rec.Fingerprint != fingerprint(s.spec) {
		return nil, errors.New("the worker was started by another command, or with other settings")
	}
	addr, err := rec.Reattach.Addr()
	if err != nil {
		return nil, err
	}
	if err := s.verifyPeer(ctx, addr); err != nil {
		return nil, err
	}
	s.plugin = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{MagicCookieKey: cookieKey, MagicCookieValue: cookieValue},
		Plugins:          goplugin.PluginSet{pluginName: workerPlugin{}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		Reattach: &goplugin.ReattachConfig{
			Protocol: goplugin.ProtocolGRPC, ProtocolVersion: rec.Reattach.AppVersion, Addr: addr, Pid: rec.Process.PID,
			ReattachFunc: func() (runner.AttachedRunner, error) { return s.proc, nil },
		},
		SyncStdout: hearing{s.proc},
		SyncStderr: hearing{s.proc},
		Logger:     hclog.NewNullLogger(),
	})
	return s.start(ctx, serve)
}

// verifyPeer makes sure that it's the worker that listens at its address.
func (s *startup) verifyPeer(ctx context.Context, addr net.Addr) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, addr.Network(), addr.String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing was written
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return nil // loopback: what Describe says must do
	}
	peer, err := lane.PeerOf(unix)
	if err != nil {
		return err
	}
	if want := s.proc.identity().PID; peer.PID != want {
		return fmt.Errorf("process %d listens on the worker's socket, and the worker is %d", peer.PID, want)
	}
	return nil
}
