package embed

import "github.com/snakepit-go/snakepit/host/members"

// diskOf is the disk that a folder is on: here it can't be told.
func diskOf(string) members.Disk { return members.Disk{} }
