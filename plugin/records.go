package plugin

import (
	"encoding/json"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/plugin/proc"
)

// records writes down what becomes of a worker's process, step by step. Without a
// ledger it keeps nothing.
type records struct{ ledger *ledger.Ledger }

// intend is durable before the fork: no process is ever unrecorded.
func (r records) intend(rec ledger.Record) error {
	if r.ledger == nil {
		return nil
	}
	return r.ledger.Intend(rec)
}

func (r records) identify(id host.WorkerID, p host.Process) error {
	if r.ledger == nil {
		return nil
	}
	return r.ledger.Identify(id, ledger.Identity{Process: p, Boot: proc.BootID()})
}

func (r records) complete(id host.WorkerID, a ledger.Reattach) error {
	if r.ledger == nil {
		return nil
	}
	return r.ledger.Complete(id, a)
}

// restore writes down again what the ledger has lost of a process that goes on.
func (r records) restore(rec ledger.Record) error {
	if r.ledger == nil {
		return nil
	}
	if err := r.ledger.Erase(rec.Worker); err != nil { // it may be damaged
		return err
	}
	return r.enter(rec)
}

// enter writes down a process that goes on, and of which there's no record yet.
func (r records) enter(rec ledger.Record) error {
	if r.ledger == nil {
		return nil
	}
	if err := r.ledger.Intend(rec); err != nil {
		return err
	}
	if err := r.ledger.Identify(rec.Worker, rec.Process); err != nil {
		return err
	}
	return r.ledger.Complete(rec.Worker, rec.Reattach)
}

func (r records) erase(id host.WorkerID) error {
	if r.ledger == nil {
		return nil
	}
	return r.ledger.Erase(id)
}

// note is a record as the shim keeps it, for a host whose ledger is gone.
func note(rec ledger.Record) string {
	b, _ := json.Marshal(rec) // plain fields always encode
	return string(b)
}

// recordOf reads a shim's note about a worker. One that isn't about it counts as none.
func recordOf(worker, token, note string) ledger.Record {
	var rec ledger.Record
	if err := json.Unmarshal([]byte(note), &rec); err != nil || rec.Token != token {
		return ledger.Record{Worker: host.WorkerID(worker), Token: token}
	}
	return rec
}
