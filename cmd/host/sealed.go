package main

import (
	"context"
	"strings"

	"github.com/snakepit-go/snakepit/cluster/link"
	"github.com/snakepit-go/snakepit/host/client"
)

// reach dials the live host. What's reached over the network shows a certificate and
// wants one, where there is a folder for them; a socket has its user alone.
func (p *program) reach(ctx context.Context, target string) (engine, error) {
	c, err := p.settings()
	if err != nil {
		return nil, err
	}
	if dir := c.TLSDir; dir != "" && !ofSocket(target) {
		return dialSealed(ctx, target, dir)
	}
	return p.dial(ctx, target)
}

// ofSocket reports whether a target is a socket's path.
func ofSocket(target string) bool {
	return strings.Contains(target, "/")
}

func dialSealed(ctx context.Context, target, dir string) (engine, error) {
	files, err := link.ClientTLS(link.ClientFiles(dir))
	if err != nil {
		return nil, err
	}
	c, err := client.Dial(ctx, target, client.WithTLS(files))
	if err != nil {
		return nil, err
	}
	return liveHost{c}, nil
}
