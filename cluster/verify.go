package cluster

import "context"

// verifier asks Raft whether this node leads, for many at once: whoever comes while
// it asks shares the next question, which so begins after they came.
type verifier struct {
	verify func(context.Context) error // blocks until a majority has answered, or won't
	asking chan chan error
}

func newVerifier(verify func(context.Context) error) *verifier {
	return &verifier{verify: verify, asking: make(chan chan error, 256)}
}

// leads fails unless this node leads at some moment after the call.
func (v *verifier) leads(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case v.asking <- answer:
	case <-ctx.Done():
		return gaveUp(ctx, false)
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return gaveUp(ctx, false)
	}
}

func (v *verifier) run(ctx context.Context) {
	for {
		select {
		case first := <-v.asking:
			all := append(v.waiting(), first)
			err := v.verify(ctx)
			for _, answer := range all {
				answer <- err
			}
		case <-ctx.Done():
			return
		}
	}
}

func (v *verifier) waiting() []chan error {
	var all []chan error
	for {
		select {
		case more := <-v.asking:
			all = append(all, more)
		default:
			return all
		}
	}
}
