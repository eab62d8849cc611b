package cluster

import (
	"testing"
	"testing/synctest"
)

// TestNewsOfALeaderIsNotOverwrittenByWhatWasReadBeforeIt: a node would take itself for one
// without a leader until there's another.
func TestNewsOfALeaderIsNotOverwrittenByWhatWasReadBeforeIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSign()
		hasRead, goOn := make(chan struct{}), make(chan struct{})
		go s.look(func() string {
			close(hasRead)
			<-goOn
			return ""
		})
		<-hasRead
		go s.look(func() string { return "n2" })
		close(goOn)
		synctest.Wait()
		if id, _ := s.leader(); id != "n2" {
			t.Errorf("the sign shows %q", id)
		}
	})
}
