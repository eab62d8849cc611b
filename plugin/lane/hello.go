package lane

import (
	"context"
	"crypto/subtle"
	"errors"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func open(ctx context.Context, carrier Carrier, cfg Config, dialled bool) (*Lane, error) {
	broken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(broken)
		_ = carrier.Close() // frees the two below, which say what's wrong
	})
	l, err := greet(carrier, cfg, dialled)
	if !stop() {
		<-broken
		return nil, contextError(ctx, errdefs.Where{})
	}
	if err != nil {
		return nil, errors.Join(carrierError(err), carrier.Close())
	}
	return l, nil
}

// greet exchanges hellos: the side that dialled speaks first.
func greet(carrier Carrier, cfg Config, dialled bool) (*Lane, error) {
	hello := cfg.Limits.own().hello()
	hello.Agent = cut(cfg.Agent, maxName)
	if dialled {
		hello.Token = cfg.Token
		if err := sayHello(carrier, hello); err != nil {
			return nil, err
		}
	}
	theirs, err := hearHello(carrier)
	if err != nil {
		return nil, err
	}
	if !dialled {
		if len(cfg.Token) > 0 && subtle.ConstantTimeCompare(cfg.Token, theirs.GetToken()) != 1 {
			return nil, errdefs.New(errdefs.Unauthenticated, "a hello with a wrong token")
		}
		if err := sayHello(carrier, hello); err != nil {
			return nil, err
		}
	}
	return agree(carrier, cfg, dialled, theirs)
}

func agree(carrier Carrier, cfg Config, dialled bool, theirs *snakepitv1.Hello) (*Lane, error) {
	if common := min(version, theirs.GetVersionMax()); common < version || common < theirs.GetVersionMin() {
		return nil, errdefs.New(errdefs.VersionMismatch, "the other side speaks versions %d to %d of the lane, this one %d",
			theirs.GetVersionMin(), theirs.GetVersionMax(), version)
	}
	peer, err := limitsOf(theirs)
	if err != nil {
		return nil, err
	}
	l := newLane(carrier, cfg, dialled, peer)
	l.agent = cut(theirs.GetAgent(), maxName)
	return l, nil
}

func sayHello(carrier Carrier, hello *snakepitv1.Hello) error {
	return carrier.Write([]*snakepitv1.Frame{{Kind: &snakepitv1.Frame_Hello{Hello: hello}}})
}

func hearHello(carrier Carrier) (*snakepitv1.Hello, error) {
	f, err := carrier.Read()
	if err != nil {
		return nil, err
	}
	if f.GetHello() == nil {
		return nil, errdefs.New(errdefs.Protocol, "a first frame that is no hello")
	}
	return f.GetHello(), nil
}
