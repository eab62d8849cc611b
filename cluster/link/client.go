package link

import (
	"cmp"
	"crypto/tls"
)

// ClientTLS is for a client that dials the API of a cluster: it shows the client's
// certificate, and takes any node of the authority for who it says. Files that are
// replaced count from the next connection on. [ClientFiles] says where they are.
//
// A node's certificate without an id, as an outside authority's may be, must be for
// the host that was dialled, which must be a name then: TLS tells of no address.
//
// Errors: invalid_config, which names the file.
func ClientTLS(files Files) (*tls.Config, error) {
	i, err := LoadIdentity(files, nil)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{speakAPI.alpn()},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &i.current().certificate, nil
		},
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection does it: a node's name is its id, not its address
		VerifyConnection: func(s tls.ConnectionState) error {
			return verifyNode(s, i.current().authority, "", cmp.Or(s.ServerName, "an address"))
		},
	}, nil
}
