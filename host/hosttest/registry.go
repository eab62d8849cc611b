package hosttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// TestRegistry is the contract of host.Registry. open gives an empty registry
// that holds at least a hundred sessions.
func TestRegistry(t *testing.T, open func(t *testing.T) host.Registry) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, host.Registry){
		"OpenedSessionIsRead":                   openedSessionIsRead,
		"OpeningTwiceGivesTheFirst":             openingTwiceGivesTheFirst,
		"OneOfManyOpensWins":                    oneOfManyOpensWins,
		"UnknownSessionIsNotFound":              unknownSessionIsNotFound,
		"BadIdsAreRefused":                      badIDsAreRefused,
		"BadAffinityIsRefused":                  badAffinityIsRefused,
		"BindingRaisesTheEpoch":                 bindingRaisesTheEpoch,
		"BindingUnderAnOldEpochChangesNothing":  bindingUnderAnOldEpochChangesNothing,
		"OneOfManyBindsWins":                    oneOfManyBindsWins,
		"ClosedSessionIsForgotten":              closedSessionIsForgotten,
		"ExpiredSessionIsRemembered":            expiredSessionIsRemembered,
		"EpochsGrowOverAClose":                  epochsGrowOverAClose,
		"SessionsAreSorted":                     sessionsAreSorted,
		"WhatIsReturnedIsTheCallers":            whatIsReturnedIsTheCallers,
		"ClosingWhatIsNotThereIsNoError":        closingWhatIsNotThereIsNoError,
		"SessionsOfOneCallerDoNotAffectAnother": sessionsDoNotAffectEachOther,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func sample(id host.SessionID) host.Session {
	return host.Session{
		ID: id, Pool: "ml", Home: "w1", TTL: time.Hour, Metadata: map[string]string{"user": "7"}, OpenedAt: time.Unix(1700000000, 0).UTC(),
		Affinity: host.AffinityStrictQueue, Concurrent: true, Availability: host.AvailabilityLocal,
	}
}

func mustOpen(t *testing.T, r host.Registry, id host.SessionID) host.Session {
	t.Helper()
	s, err := r.OpenSession(t.Context(), sample(id))
	if err != nil {
		t.Fatalf("OpenSession(%q): %v", id, err)
	}
	return s
}

func wantReason(t *testing.T, err error, want errdefs.Reason) {
	t.Helper()
	if got := errdefs.ReasonOf(err); got != want {
		t.Errorf("error %v has reason %q, want %q", err, got, want)
	}
}

func openedSessionIsRead(t *testing.T, r host.Registry) {
	t.Helper()
	opened := mustOpen(t, r, "a")
	want := sample("a")
	if opened.Epoch == 0 {
		t.Error("an open session has epoch 0")
	}
	want.Epoch = opened.Epoch
	got, err := r.Session(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []host.Session{opened, got} {
		if d := cmp.Diff(want, s); d != "" {
			t.Errorf("session (-want +got):\n%s", d)
		}
	}
}

func openingTwiceGivesTheFirst(t *testing.T, r host.Registry) {
	t.Helper()
	first := mustOpen(t, r, "a")
	other := sample("a")
	other.Home, other.Pool = "w2", "other"
	second, err := r.OpenSession(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(first, second); d != "" {
		t.Errorf("the second open (-first +second):\n%s", d)
	}
}

func oneOfManyOpensWins(t *testing.T, r host.Registry) {
	t.Helper()
	const n = 16
	homes := make([]host.WorkerID, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			s := sample("a")
			s.Home = host.WorkerID(fmt.Sprintf("w%d", i))
			got, err := r.OpenSession(context.WithoutCancel(t.Context()), s)
			if err != nil {
				t.Error(err)
			}
			homes[i] = got.Home
		})
	}
	wg.Wait()
	for _, h := range homes {
		if h != homes[0] {
			t.Fatalf("homes %v differ", homes)
		}
	}
}

func unknownSessionIsNotFound(t *testing.T, r host.Registry) {
	t.Helper()
	_, err := r.Session(t.Context(), "nobody")
	wantReason(t, err, errdefs.SessionNotFound)
	_, err = r.BindSession(t.Context(), "nobody", "w1", 1)
	wantReason(t, err, errdefs.SessionNotFound)
}

func badIDsAreRefused(t *testing.T, r host.Registry) {
	t.Helper()
	for _, id := range []string{"", strings.Repeat("x", 257), "a\xff"} {
		_, err := r.OpenSession(t.Context(), sample(host.SessionID(id)))
		wantReason(t, err, errdefs.InvalidArguments)
	}
	mustOpen(t, r, host.SessionID(strings.Repeat("x", 256)))
	mustOpen(t, r, "ünïcødé 🐍")
}

func badAffinityIsRefused(t *testing.T, r host.Registry) {
	t.Helper()
	s := sample("a")
	s.Affinity = "sticky"
	_, err := r.OpenSession(t.Context(), s)
	wantReason(t, err, errdefs.InvalidArguments)
	s = sample("a")
	s.Availability = "everywhere"
	_, err = r.OpenSession(t.Context(), s)
	wantReason(t, err, errdefs.InvalidArguments)
}

func bindingRaisesTheEpoch(t *testing.T, r host.Registry) {
	t.Helper()
	s := mustOpen(t, r, "a")
	bound, err := r.BindSession(t.Context(), "a", "w2", s.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	if bound.Home != "w2" || bound.Epoch <= s.Epoch {
		t.Errorf("bound to %s at epoch %d, want w2 above %d", bound.Home, bound.Epoch, s.Epoch)
	}
	want := s
	want.Home, want.Epoch = bound.Home, bound.Epoch
	if d := cmp.Diff(want, bound); d != "" {
		t.Errorf("what binding changed (-want +got):\n%s", d)
	}
	got, err := r.Session(t.Context(), "a")
	if err != nil || !cmp.Equal(got, bound) {
		t.Errorf("read %+v (%v), want %+v", got, err, bound)
	}
}

func bindingUnderAnOldEpochChangesNothing(t *testing.T, r host.Registry) {
	t.Helper()
	s := mustOpen(t, r, "a")
	now, err := r.BindSession(t.Context(), "a", "w2", s.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.BindSession(t.Context(), "a", "w3", s.Epoch)
	wantReason(t, err, errdefs.Conflict)
	if got, err := r.Session(t.Context(), "a"); err != nil || !cmp.Equal(got, now) {
		t.Errorf("read %+v (%v), want %+v", got, err, now)
	}
}

func oneOfManyBindsWins(t *testing.T, r host.Registry) {
	t.Helper()
	s := mustOpen(t, r, "a")
	const n = 16
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			_, errs[i] = r.BindSession(context.WithoutCancel(t.Context()), "a", host.WorkerID(fmt.Sprintf("w%d", i)), s.Epoch)
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			wantReason(t, err, errdefs.Conflict)
		}
	}
	if won != 1 {
		t.Errorf("%d binds from one epoch succeeded", won)
	}
}

func closedSessionIsForgotten(t *testing.T, r host.Registry) {
	t.Helper()
	mustOpen(t, r, "a")
	if err := r.CloseSession(t.Context(), "a", false); err != nil {
		t.Fatal(err)
	}
	_, err := r.Session(t.Context(), "a")
	wantReason(t, err, errdefs.SessionNotFound)
	mustOpen(t, r, "a")
}

func expiredSessionIsRemembered(t *testing.T, r host.Registry) {
	t.Helper()
	s := mustOpen(t, r, "a")
	if err := r.CloseSession(t.Context(), "a", true); err != nil {
		t.Fatal(err)
	}
	_, err := r.Session(t.Context(), "a")
	wantReason(t, err, errdefs.SessionExpired)
	_, err = r.OpenSession(t.Context(), sample("a"))
	wantReason(t, err, errdefs.SessionExpired)
	_, err = r.BindSession(t.Context(), "a", "w2", s.Epoch)
	wantReason(t, err, errdefs.SessionExpired)
}

func epochsGrowOverAClose(t *testing.T, r host.Registry) {
	t.Helper()
	before := mustOpen(t, r, "a")
	if err := r.CloseSession(t.Context(), "a", false); err != nil {
		t.Fatal(err)
	}
	if after := mustOpen(t, r, "a"); after.Epoch <= before.Epoch {
		t.Errorf("epoch %d after %d: a fencing token came twice", after.Epoch, before.Epoch)
	}
}

func sessionsAreSorted(t *testing.T, r host.Registry) {
	t.Helper()
	for _, id := range []host.SessionID{"b", "c", "a"} {
		mustOpen(t, r, id)
	}
	list, err := r.Sessions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []host.SessionID
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	if d := cmp.Diff([]host.SessionID{"a", "b", "c"}, ids); d != "" {
		t.Errorf("sessions (-want +got):\n%s", d)
	}
}

func whatIsReturnedIsTheCallers(t *testing.T, r host.Registry) {
	t.Helper()
	given := sample("a")
	opened, err := r.OpenSession(t.Context(), given)
	if err != nil {
		t.Fatal(err)
	}
	given.Metadata["user"], opened.Metadata["user"] = "8", "9"
	got, err := r.Session(t.Context(), "a")
	if err != nil || got.Metadata["user"] != "7" {
		t.Errorf("the record changed with somebody's map: %v (%v)", got.Metadata, err)
	}
}

func closingWhatIsNotThereIsNoError(t *testing.T, r host.Registry) {
	t.Helper()
	err := errors.Join(r.CloseSession(t.Context(), "a", false), r.CloseSession(t.Context(), "b", true))
	if err != nil {
		t.Error(err)
	}
}

func sessionsDoNotAffectEachOther(t *testing.T, r host.Registry) {
	t.Helper()
	a, b := mustOpen(t, r, "a"), mustOpen(t, r, "b")
	if _, err := r.BindSession(t.Context(), "a", "w2", a.Epoch); err != nil {
		t.Fatal(err)
	}
	if err := r.CloseSession(t.Context(), "a", true); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Session(t.Context(), "b"); err != nil || !cmp.Equal(got, b) {
		t.Errorf("read %+v (%v), want %+v", got, err, b)
	}
}
