package cluster

import (
	"crypto/sha256"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// What a snapshot has of what came with version 3. A registry of older rules has
// none of it.

func (s *state) saveMembers(w *recordWriter) {
	for _, hash := range slices.SortedFunc(maps.Keys(s.toolSets), compareSums) {
		w.write(&snakepitv1.RegistryRecord{Record: &snakepitv1.RegistryRecord_Tools{Tools: s.toolSets[hash].content}})
	}
	for _, id := range slices.Sorted(maps.Keys(s.offers)) {
		o := s.offers[id]
		w.write(&snakepitv1.RegistryRecord{Record: &snakepitv1.RegistryRecord_Offer{
			Offer: &snakepitv1.SnapshotOffer{Node: id, Sets: sumsToWire(o.sets), Stored: sumsToWire(o.stored)},
		}})
	}
	for _, t := range s.tokensByAge() {
		w.write(&snakepitv1.RegistryRecord{Record: &snakepitv1.RegistryRecord_Token{Token: tokenToWire(t)}})
	}
	for _, pool := range slices.Sorted(maps.Keys(s.overrides)) {
		w.write(&snakepitv1.RegistryRecord{Record: &snakepitv1.RegistryRecord_Override{
			Override: &snakepitv1.SetPoolOverride{Pool: pool, Knobs: s.overrides[pool]},
		}})
	}
}

func (s *state) restoreMember(r *snakepitv1.RegistryRecord) error {
	switch r := r.GetRecord().(type) {
	case *snakepitv1.RegistryRecord_Tools:
		return s.restoreTools(r.Tools)
	case *snakepitv1.RegistryRecord_Offer:
		return s.restoreOffer(r.Offer)
	case *snakepitv1.RegistryRecord_Token:
		return s.restoreToken(r.Token)
	case *snakepitv1.RegistryRecord_Override:
		o := r.Override
		if s.overrides[o.GetPool()] != nil || len(s.overrides) >= maxOverrides || len(o.GetKnobs()) == 0 || checkOverride(o.GetPool(), o.GetKnobs()) != nil {
			return badSnapshot("a pool's knobs are there twice, or there are too many")
		}
		s.overrides[o.GetPool()] = o.GetKnobs()
		return nil
	}
	return badSnapshot("a record is out of its place")
}

func (s *state) restoreTools(content []byte) error {
	set, hash := readToolSet(content), sum(sha256.Sum256(content))
	if set == nil || s.toolSets[hash] != nil || len(s.toolSets) >= maxToolSets {
		return badSnapshot("a set of tools is none or there twice, or there are too many")
	}
	s.toolSets[hash] = set
	return nil
}

// restoreOffer comes after the sets.
func (s *state) restoreOffer(w *snakepitv1.SnapshotOffer) error {
	sets, ok := s.stored(w.GetSets())
	stored, ok2 := s.stored(w.GetStored())
	if !ok || !ok2 || s.offers[w.GetNode()] != nil || len(s.offers) >= maxNodes {
		return badSnapshot("what a node offers isn't there or there twice, or there are too many")
	}
	s.offers[w.GetNode()] = &offer{sets, stored}
	return nil
}

// stored reads sums of sets that are there.
func (s *state) stored(all [][]byte) (sums []sum, ok bool) {
	for _, b := range all {
		hash, ok := sumFromWire(b)
		if !ok || s.toolSets[hash] == nil || len(sums) >= maxOffered {
			return nil, false
		}
		sums = append(sums, hash)
	}
	return sums, true
}

func (s *state) restoreToken(w *snakepitv1.SnapshotToken) error {
	hash, ok := sumFromWire(w.GetHash())
	if !ok || s.tokens[hash] != nil || len(s.tokens) >= maxTokens || len(w.GetSpent()) > int(w.GetUses()) {
		return badSnapshot("a token is there twice, or there are too many")
	}
	s.tokens[hash] = &token{hash, w.GetUses(), w.GetLabel(), w.GetSpent(), w.GetAdded()}
	return nil
}

func tokenToWire(t *token) *snakepitv1.SnapshotToken {
	return &snakepitv1.SnapshotToken{Hash: t.hash[:], Uses: t.uses, Label: t.label, Spent: t.spent, Added: t.added}
}

func sumsToWire(sums []sum) [][]byte {
	all := make([][]byte, 0, len(sums))
	for _, hash := range sums {
		all = append(all, hash[:])
	}
	return all
}

func compareSums(a, b sum) int { return slices.Compare(a[:], b[:]) }

// toolSetToWire gives equal bytes for equal tools, so that they're stored once.
func toolSetToWire(w *snakepitv1.ToolSet) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(w)
}
