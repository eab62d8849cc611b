//go:build !linux

package plugin

func awaitExit(int) {}

func limit(int) {}
