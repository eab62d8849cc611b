package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

func (p *program) clusterBackupCommand() *cobra.Command {
	return p.command(&cobra.Command{
		Use:   "backup FILE|-",
		Short: "Write the registry down: sessions with their state, nodes, processes",
		Long: `Write the registry to a file as it is now, or to stdout: sessions with their state, nodes and processes, all that was
acknowledged before. What Python has in memory isn't in it. The host goes on meanwhile; one that is no
node of several has a registry too.

The file is written beside FILE first, and takes its place when it's whole and on disk: an older FILE is replaced, and never
by half a new one. It holds session state: keep it as safe as that.

With -o json: an object with file and bytes.`,
		Example: `  snakepit cluster backup /var/backups/snakepit-$(date +%F)
  snakepit cluster backup - | ssh vault 'cat > snakepit.backup'`,
		Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, args []string) error {
		if args[0] == "-" && isTerminal(p.stdout) {
			return usagef("a backup is binary data: redirect stdout to a file, or name one")
		}
		return p.withNode(ctx, func(ctx context.Context, h clusterHost) error {
			if args[0] == "-" {
				return h.Backup(ctx, p.stdout)
			}
			return p.clusterBackup(ctx, h, args[0])
		})
	})
}

func (p *program) clusterBackup(ctx context.Context, h clusterView, path string) error {
	size, err := writeWhole(path, func(w io.Writer) error { return h.Backup(ctx, w) })
	if err != nil {
		return err
	}
	if p.json() {
		return printJSON(p.stdout, map[string]any{"file": path, "bytes": size})
	}
	_, err = fmt.Fprintf(p.stdout, "backed up file=%s bytes=%d\n", cell(path), size)
	return err
}

// writeWhole writes a file that only its user reads, and that is there whole and on
// disk, or as it was before.
func writeWhole(path string, write func(io.Writer) error) (size int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // it's of no use, and says so by its name
		}
	}()
	c := &counted{to: f}
	if err := errors.Join(write(c), f.Sync(), f.Close()); err != nil {
		return 0, err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return 0, err
	}
	return c.n, syncFolder(filepath.Dir(path))
}

// counted counts what is written.
type counted struct {
	to io.Writer
	n  int64
}

// Write implements io.Writer.
func (c *counted) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.n += int64(n)
	return n, err
}

// syncFolder makes a new name in a folder last.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = d.Sync() // some systems can't; the file itself is on disk
	return d.Close()
}
