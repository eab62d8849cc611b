package link

import (
	"context"
	"time"

	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// renewEvery is how often the certificate's age is looked at.
const renewEvery = time.Hour

// renew replaces this node's certificate when two thirds of its life are over, for as
// long as ctx lasts.
func (e *Enrolment) renew(ctx context.Context) {
	if e.cfg.Dir == "" || e.link.cfg.Identity == nil {
		return
	}
	for {
		if err := e.renewOnce(ctx); err != nil && ctx.Err() == nil {
			e.log.Warn("this node's certificate couldn't be renewed; it's tried again", "expires", e.link.cfg.Identity.Expires(), "error", err)
		}
		if !pause(ctx, renewEvery) {
			return
		}
	}
}

func (e *Enrolment) renewOnce(ctx context.Context) error {
	files := NodeFiles(e.cfg.Dir)
	c, err := readCertificate(files.Certificate)
	if err != nil {
		return err
	}
	if life := c.NotAfter.Sub(c.NotBefore); time.Until(c.NotAfter) > life/3 || whoOf(c).Name != e.cfg.Node {
		return nil
	}
	key, err := files.key()
	if err != nil {
		return err
	}
	hosts := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	request, err := Request(key, hosts)
	if err != nil {
		return err
	}
	response, err := e.resigned(ctx, &snakepitv1.EnrolRequest{Node: e.cfg.Node, CertificateRequest: request})
	if err != nil {
		return err
	}
	if err := checkAnswer(response, key, e.cfg.Node); err != nil {
		return err
	}
	e.log.Info("this node has a new certificate")
	return replace(files.Certificate, response.GetCertificate())
}

// resigned signs for this node itself, or has another do it.
func (e *Enrolment) resigned(ctx context.Context, r *snakepitv1.EnrolRequest) (*snakepitv1.EnrolResponse, error) {
	if e.signs() {
		return e.again(r)
	}
	return e.passOn(ctx, r)
}
