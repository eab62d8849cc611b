package client

import (
	"crypto/tls"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Option changes how a client connects.
type Option func(*options)

type options struct {
	creds credentials.TransportCredentials
}

// WithTLS encrypts connections, and proves both sides to each other: cluster/link's
// ClientTLS makes a configuration of a client's certificate. Without it there's no
// encryption: use a Unix socket, or addresses that only this machine reaches.
func WithTLS(cfg *tls.Config) Option {
	return func(o *options) { o.creds = credentials.NewTLS(cfg) }
}

func optionsOf(opts []Option) options {
	o := options{creds: insecure.NewCredentials()}
	for _, set := range opts {
		set(&o)
	}
	return o
}
