package boltfile

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// keepAside is how many torn files are kept: enough to look into what happened,
// few enough for a disk that tears one at every start.
const keepAside = 5

const asideMark = ".torn-"

// SetAside renames a torn file to path + ".torn-<n>" and returns that name. The
// numbers grow: the highest is the newest. Five are kept, and the oldest goes. The
// new name is durable on return.
//
// The caller holds whatever keeps others from using the file meanwhile; [Open] does
// it under the file's own lock.
func SetAside(path string) (string, error) {
	taken, err := asideNumbers(path)
	if err != nil {
		return "", err
	}
	next := 1
	if len(taken) > 0 {
		next = taken[len(taken)-1] + 1
	}
	aside := asideName(path, next)
	if err := os.Rename(path, aside); err != nil {
		return "", err
	}
	for _, n := range taken[:max(0, len(taken)+1-keepAside)] {
		if err := os.Remove(asideName(path, n)); err != nil {
			return aside, err
		}
	}
	return aside, SyncDir(filepath.Dir(path))
}

func asideName(path string, n int) string { return path + asideMark + strconv.Itoa(n) }

// asideNumbers are the numbers in use, in order.
func asideNumbers(path string) ([]int, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("set %s aside: %w", path, err)
	}
	var taken []int
	for _, e := range entries {
		suffix, ok := strings.CutPrefix(e.Name(), filepath.Base(path)+asideMark)
		if n, err := strconv.Atoi(suffix); ok && err == nil && n > 0 && strconv.Itoa(n) == suffix {
			taken = append(taken, n)
		}
	}
	slices.Sort(taken)
	return taken, nil
}
