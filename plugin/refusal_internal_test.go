//go:build linux

package plugin

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestSurvivorOfAnotherCommandIsReplaced(t *testing.T) {
	t.Parallel()
	h, before := survivorOf(t)
	l, _ := h.comeBack(t)
	spec := h.spec("default-1")
	spec.Command.Env = append(spec.Command.Env, "MODEL=another")
	_, err := l.Reattach(t.Context(), spec, toolless{})
	if errdefs.ReasonOf(err) != errdefs.StartFailed || !strings.Contains(err.Error(), "another command") {
		t.Errorf("Reattach: %v, want that another command started it", err)
	}
	if isAlive(before) {
		t.Error("it lives on")
	}
}

func TestAddressThatAnotherProcessListensOnIsRefused(t *testing.T) {
	t.Parallel()
	h, before := survivorOf(t)
	var socket string
	h.forge(t, func(rec *ledger.Record) { socket = rec.Reattach.Address })
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	impostor, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer impostor.Close()
	l, _ := h.comeBack(t)
	_, err = l.Reattach(t.Context(), h.spec("default-1"), toolless{})
	if err == nil || !strings.Contains(err.Error(), "listens on the worker's socket") {
		t.Errorf("Reattach: %v, want that another listens there", err)
	}
	if isAlive(before) {
		t.Error("the worker lives on")
	}
}
