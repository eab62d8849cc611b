package link

import (
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestWrongTokensFromOnePlaceLeaveTheOthersAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle()
		for range missesAllowed {
			if err := th.check("a"); err != nil {
				t.Fatal(err)
			}
			th.miss("a")
		}
		err := th.check("a")
		if e := errdefs.Of(err); e.Reason != errdefs.RateLimited || e.RetryAfter != missForgotten {
			t.Errorf("it says %v, again after %s", err, e.RetryAfter)
		}
		if err := th.check("b"); err != nil {
			t.Errorf("another place: %v", err)
		}
		time.Sleep(missForgotten)
		if err := th.check("a"); err != nil {
			t.Errorf("a while after: %v", err)
		}
	})
}

func TestPlacesThatAreRememberedAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle()
		for i := range 3 * placesKnown {
			th.miss(fmt.Sprint(i))
		}
		if n := len(th.missed); n > placesKnown+1 {
			t.Errorf("%d are remembered", n)
		}
		if err := th.check("a new one"); errdefs.ReasonOf(err) != errdefs.RateLimited {
			t.Errorf("the rest don't share one: %v", err)
		}
		time.Sleep(time.Hour * 24)
		if err := th.check("a new one"); err != nil {
			t.Error(err)
		}
		th.miss("a new one")
		if n := len(th.missed); n > 1 {
			t.Errorf("%d are remembered a day after", n)
		}
	})
}

func TestPlaceOfVersion6IsANetwork(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"192.0.2.7:80": "192.0.2.7", "[::ffff:192.0.2.7]:80": "192.0.2.7", "[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80": "fe80::/64", "nonsense": "",
	} {
		if got := place(address(addr)); got != want {
			t.Errorf("%s is %q, want %q", addr, got, want)
		}
	}
	var _ net.Addr = address("")
}
