package cluster

import (
	"bytes"
	"go/ast"
	"go/parser"
	source "go/token"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/host"
)

// monotonic lists the functions that ask for the time only to measure how long
// something takes, for which Go has a clock that isn't set.
var monotonic = []string{"firstTime", "insist", "begin", "newClock", "Place"}

// TestNoWallClockTakesPartInADecision looks for whatever could let one.
func TestNoWallClockTakesPartInADecision(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".go") && !strings.HasSuffix(f.Name(), "_test.go") {
			lookForClocks(t, f.Name())
		}
	}
}

func lookForClocks(t *testing.T, file string) {
	t.Helper()
	set := source.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, declared := range parsed.Decls {
		f, ok := declared.(*ast.FuncDecl)
		if ok && slices.Contains(monotonic, f.Name.Name) {
			continue
		}
		ast.Inspect(declared, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of, _ := s.X.(*ast.Ident)
			now := of != nil && of.Name == "time" && s.Sel.Name == "Now"
			if now || slices.Contains([]string{"AppendedAt", "UnixNano", "UnixMilli", "Unix"}, s.Sel.Name) {
				t.Errorf("%s: the wall clock: only for people, or, to measure with, from a function in monotonic", set.Position(n.Pos()))
			}
			return true
		})
	}
}

// TestTimesAnHourOffChangeNothing has the same entries stamped by clocks an hour apart.
func TestTimesAnHourOffChangeNothing(t *testing.T) {
	t.Parallel()
	var all [][]byte
	for _, off := range []time.Duration{0, time.Hour, -time.Hour} {
		b := newBench()
		at := timeOf(1_000_000, 0).Add(off)
		for i, id := range []string{"a", "b", "a", "c"} {
			b.index++
			s := host.Session{ID: host.SessionID(id), Pool: "ml", TTL: time.Minute, OpenedAt: at}
			data := b.entry(t, openSession(s, 10))
			b.Apply(&raft.Log{Index: b.index, Data: data, AppendedAt: at.Add(time.Duration(i) * off)})
		}
		for id, row := range b.state.sessions {
			shown := *row
			shown.OpenedAt = time.Time{} // for people
			b.state.sessions[id] = &shown
		}
		b.state.origins = origins{} // they have what the callers were told, these times included
		all = append(all, b.saved(t))
	}
	if !bytes.Equal(all[0], all[1]) || !bytes.Equal(all[0], all[2]) {
		t.Error("the registries differ")
	}
}
