package embed

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// instancesFolder holds the data directories of the instances of a data directory.
const instancesFolder = "instances"

// InstanceDir is the data directory of an instance: DIR/instances/NAME, and dir
// itself where instance is empty. It fails with invalid_config for a name that can't be one.
func InstanceDir(dir, instance string) (string, error) {
	switch {
	case instance == "":
		return dir, nil
	case !isInstanceName(instance):
		return "", &errdefs.Error{
			Reason: errdefs.InvalidConfig, Path: "instance", Message: "an instance can't be named " + clip(instance),
			Hint: "up to 64 letters, digits, '_', '.' and '-', a letter or digit first",
		}
	case dir == "":
		return "", &errdefs.Error{
			Reason: errdefs.InvalidConfig, Path: "instance", Message: "an instance needs a data directory",
			Hint: "set DataDir too, or leave Instance out: a private host has a folder of its own anyway",
		}
	}
	return filepath.Join(dir, instancesFolder, instance), nil
}

// clip quotes text that may be long.
func clip(text string) string {
	const most = 80
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strconv.Quote(text)
}

func isInstanceName(name string) bool {
	ok, _ := regexp.MatchString(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`, name) // the pattern is sound
	return ok
}

// Instances are the names of the instances that a data directory has.
func Instances(dir string) []string {
	var names []string
	entries, _ := os.ReadDir(filepath.Join(dir, instancesFolder)) // none: there are no instances
	for _, e := range entries {
		if e.IsDir() && isInstanceName(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}
