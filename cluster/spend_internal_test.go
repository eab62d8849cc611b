package cluster

import (
	"crypto/sha256"
	"testing"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestWrongTokenWritesNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		good, wrong := sha256.Sum256([]byte("good")), sha256.Sum256([]byte("wrong"))
		if err := r.nodes["n1"].AddToken(r.Context(), Token{Hash: good, Uses: 1}); err != nil {
			r.Fatal(err)
		}
		if err := r.nodes["n3"].SpendToken(r.Context(), good, "new"); err != nil {
			r.Errorf("a token that was made elsewhere just now: %v", err)
		}
		before := r.nodes["n1"].Overview().Last
		for range 10 {
			if err := r.nodes["n2"].SpendToken(r.Context(), wrong, "new"); errdefs.ReasonOf(err) != errdefs.PermissionDenied {
				r.Errorf("a wrong token: %v", err)
			}
			if err := r.nodes["n2"].SpendToken(r.Context(), good, "another"); errdefs.ReasonOf(err) != errdefs.PermissionDenied {
				r.Errorf("one that was used: %v", err)
			}
		}
		if after := r.nodes["n1"].Overview().Last; after != before {
			r.Errorf("the log has %d entries more", after-before)
		}
	})
}
