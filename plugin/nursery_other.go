//go:build !linux

package plugin

import "sync"

func newNursery(_ Config, wg *sync.WaitGroup) nursery { return newDirect(wg) }

// end ends nobody: off Linux no process is ever seen.
func (o *Orphan) end() bool { return false }
