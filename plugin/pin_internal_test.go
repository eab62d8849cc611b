package plugin

import "testing"

func TestAWorkerThatNobodyFreezesCanAlwaysBePinned(t *testing.T) {
	w := &worker{} // without a shim
	for range 2 {
		if !w.Pin() {
			t.Error("there's no lease that could have ended")
		}
	}
	w.Unpin()
}
