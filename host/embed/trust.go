package embed

import (
	"context"
	"net"
	"os"

	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/cluster/link"
	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// identify sees to this node's certificate before its port is open, and reads it; nil
// where there's no folder for certificates.
func (h *Host) identify(ctx context.Context, id string) (*link.Identity, error) {
	dir := h.set.host.TLSDir
	if dir == "" {
		return nil, nil //nolint:nilnil // a link without an identity is one in plain text
	}
	if err := h.enrol(ctx, id); err != nil {
		return nil, err
	}
	return link.LoadIdentity(link.NodeFiles(dir), func(err error) {
		h.logger.Error("the certificates have changed and can't be used", "error", err)
	})
}

// enrol gets this node its certificate: signed here, where the authority's key is, or
// for the token by a member. What is there is kept.
func (h *Host) enrol(ctx context.Context, id string) error {
	k := h.set.host
	if link.HasAuthority(k.TLSDir) {
		_, err := link.IssueNode(k.TLSDir, id, h.hosts())
		return err
	}
	belongs, err := cluster.Belongs(h.dirs.registry())
	if err != nil || belongs != "" || len(k.Join) == 0 || k.JoinToken == "" {
		return err
	}
	var members []string
	for _, address := range k.Join {
		members = append(members, config.WithPort(address))
	}
	_, err = link.Join(ctx, members, k.JoinToken, k.TLSDir, id, h.hosts()...)
	return err
}

// hosts are the names and addresses for which this node's certificate is good, for
// clients that know nothing of nodes.
func (h *Host) hosts() []string {
	hosts := []string{"localhost", "127.0.0.1"}
	for _, address := range []string{h.set.host.ClusterAdvertise, h.set.host.ClusterListen} {
		name, _, err := net.SplitHostPort(config.WithPort(address))
		if ip := net.ParseIP(name); err == nil && name != "" && !ip.IsUnspecified() {
			hosts = append(hosts, name)
		}
	}
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	return hosts
}

// newEnrolment lets others in, once this node is a member.
func (h *Host) newEnrolment(n *node, id string) *link.Enrolment {
	return link.NewEnrolment(n.link, link.EnrolConfig{
		Node: id, Dir: h.set.host.TLSDir, Tokens: membership{n}, Members: membership{n}, Logger: h.logger,
	})
}

// removed reports whether a node isn't a member any more.
func (n *node) removed(id string) bool {
	self := n.self.Load()
	return self != nil && self.Removed(id)
}

// register serves other nodes.
func (n *node) register(r grpc.ServiceRegistrar) {
	n.peers.Register(r)
	n.enrolment.Register(r)
}

// membership is the registry for who answers at the port, which is open first.
type membership struct{ n *node }

// SpendToken implements [link.Tokens].
func (m membership) SpendToken(ctx context.Context, hash [32]byte, node string) error {
	if self := m.n.self.Load(); self != nil {
		return self.SpendToken(ctx, hash, node)
	}
	return notYet()
}

// Addresses implements [link.Members].
func (m membership) Addresses() map[string]string {
	if self := m.n.self.Load(); self != nil {
		return self.Addresses()
	}
	return nil
}

// Dial implements [link.Members].
func (m membership) Dial(ctx context.Context, id string) (grpc.ClientConnInterface, error) {
	if self := m.n.self.Load(); self != nil {
		return self.Dial(ctx, id)
	}
	return nil, notYet()
}

func notYet() error {
	return errdefs.New(errdefs.NotLeader, "this node isn't a member of its cluster yet")
}
