//go:build !unix

package link

import "io/fs"

// othersMay says nothing where a mode doesn't tell who may read a file.
func othersMay(fs.FileInfo) fs.FileMode { return 0 }
