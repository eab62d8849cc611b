// Command goworker is a worker written in Go: its tools are called, streamed and
// cancelled like those of a Python worker, from a pool whose adapter is its file.
//
//	go build -o bin/goworker ./examples/goworker
//	bin/snakepit call --adapter exec:bin/goworker sum numbers='[1,2,3]'
//
// Its tools are those that the lane's conformance suite wants (plugin/lane/lanetest),
// which its test runs, and a few that show what a worker can keep and where it stands.
package main

import "github.com/snakepit-go/snakepit/plugin/worker"

func main() { worker.Main(adapter()) }

func adapter() worker.Adapter {
	var m memory
	return worker.Adapter{
		Name: "goworker", Slots: 4,
		Tools: concat(plainTools(), streamTools(), slowTools(), hostTools(), m.tools()),
		Hooks: m.hooks(),
	}
}

func concat(groups ...[]worker.Tool) []worker.Tool {
	var all []worker.Tool
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}
