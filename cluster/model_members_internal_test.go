package cluster

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// What the model says of what came with version 3.

// memberModel is that part of it.
type memberModel struct {
	stored map[string][]string // by node: the tools that it has stored, one a set
	tools  map[string][]string // by node: those that it offers
	tokens map[string]*modelToken
	knobs  map[string]map[string]string
	claims map[host.WorkerID]Owner
}

type modelToken struct {
	uses  int
	spent map[string]bool
}

func newMemberModel() memberModel {
	return memberModel{
		stored: map[string][]string{}, tools: map[string][]string{}, tokens: map[string]*modelToken{},
		knobs: map[string]map[string]string{}, claims: map[host.WorkerID]Owner{},
	}
}

var modelTools = []string{"add", "sub", "mul"}

// setsByName has the content of a set of one tool, and where it's stored.
func setsByName(name string) (content []byte, hash sum) {
	content, err := toolSetToWire(&snakepitv1.ToolSet{Tools: []*snakepitv1.OfferedTool{{Tool: &snakepitv1.Tool{Name: name}}}})
	if err != nil {
		return nil, sum{} // which no command takes
	}
	return content, sha256.Sum256(content)
}

func nameOf(content []byte) string { return readToolSet(content).tools[0].Name }

func nameAt(hash []byte) string {
	for _, name := range modelTools {
		if _, at := setsByName(name); string(at[:]) == string(hash) {
			return name
		}
	}
	return "?"
}

func drawMemberCommand(rt *rapid.T, m *registryModel) *snakepitv1.RegistryCommand {
	by := drawOwner(rt, m)
	secret := sum{byte(rapid.IntRange(1, 2).Draw(rt, "secret"))}
	node := rapid.SampledFrom([]string{"n1", "n2", "n3"}).Draw(rt, "joining")
	switch rapid.IntRange(0, 7).Draw(rt, "member verb") {
	case 0:
		return pauseNode(by, rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute, time.Hour}).Draw(rt, "within"))
	case 1:
		return setRehomeAfter(by, time.Minute, rapid.SampledFrom([]uint64{0, 0, 1}).Draw(rt, "term"))
	case 2:
		content, _ := setsByName(rapid.SampledFrom(modelTools).Draw(rt, "tool"))
		return storeTools(by, content)
	case 3:
		var sets []sum
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(modelTools), 0, 3, rapid.ID).Draw(rt, "tools") {
			_, hash := setsByName(name)
			sets = append(sets, hash)
		}
		return offerTools(by, sets)
	case 4:
		return addToken(secret, uint32(rapid.IntRange(0, 2).Draw(rt, "uses")), "")
	case 5:
		return dropToken(secret, 0, rapid.SampledFrom([]uint64{0, 0, 1}).Draw(rt, "term"))
	case 6:
		return spendToken(secret, node)
	}
	knobs := rapid.MapOfN(rapid.SampledFrom([]string{"min", "max"}), rapid.SampledFrom([]string{"1", "2"}), 0, 2).Draw(rt, "knobs")
	return setPoolOverride(rapid.SampledFrom([]string{"ml", "web"}).Draw(rt, "pool"), knobs)
}

// checkMember moves the model on for a command of version 3.
func (m *registryModel) checkMember(c *snakepitv1.RegistryCommand) errdefs.Reason {
	switch c := c.GetCommand().(type) {
	case *snakepitv1.RegistryCommand_PauseNode:
		return m.pause(c.PauseNode)
	case *snakepitv1.RegistryCommand_SetRehomeAfter:
		return m.waits(c.SetRehomeAfter)
	case *snakepitv1.RegistryCommand_StoreTools:
		id := c.StoreTools.GetId()
		if !m.serving(id, c.StoreTools.GetIncarnation()) {
			return errdefs.Fenced
		}
		if name := nameOf(c.StoreTools.GetContent()); !slices.Contains(m.stored[id], name) {
			m.stored[id] = append(m.stored[id], name)
		}
	case *snakepitv1.RegistryCommand_OfferTools:
		return m.offer(c.OfferTools)
	case *snakepitv1.RegistryCommand_SetPoolOverride:
		m.knobs[c.SetPoolOverride.GetPool()] = c.SetPoolOverride.GetKnobs()
		if len(c.SetPoolOverride.GetKnobs()) == 0 {
			delete(m.knobs, c.SetPoolOverride.GetPool())
		}
	}
	return m.checkToken(c)
}

func (m *registryModel) checkToken(c *snakepitv1.RegistryCommand) errdefs.Reason {
	switch c := c.GetCommand().(type) {
	case *snakepitv1.RegistryCommand_AddToken:
		key := string(c.AddToken.GetHash())
		if c.AddToken.GetUses() == 0 {
			return errdefs.InvalidArguments
		}
		if m.tokens[key] == nil {
			m.tokens[key] = &modelToken{int(c.AddToken.GetUses()), map[string]bool{}}
		}
	case *snakepitv1.RegistryCommand_DropToken:
		if c.DropToken.GetTerm() != 0 {
			return errdefs.NotLeader
		}
		delete(m.tokens, string(c.DropToken.GetHash()))
	case *snakepitv1.RegistryCommand_SpendToken:
		t := m.tokens[string(c.SpendToken.GetHash())]
		if t == nil || len(t.spent) == t.uses && !t.spent[c.SpendToken.GetNode()] {
			return errdefs.PermissionDenied
		}
		t.spent[c.SpendToken.GetNode()] = true
	}
	return ""
}

func (m *registryModel) serving(id string, incarnation uint64) bool {
	n, known := m.nodes[id]
	return known && n.Incarnation == incarnation && n.serves()
}

func (m *registryModel) pause(c *snakepitv1.PauseNode) errdefs.Reason {
	n := m.nodes[c.GetId()]
	within := c.GetWithin().AsDuration()
	switch {
	case !m.serving(c.GetId(), c.GetIncarnation()):
		return errdefs.Fenced
	case within > maxPause:
		return errdefs.InvalidArguments
	case within > 0:
		n.Status, n.Pause = StatusPausing, within
	case n.Status == StatusPausing:
		n.Status, n.Pause = StatusUp, 0
	}
	m.nodes[n.ID] = n
	return ""
}

func (m *registryModel) waits(c *snakepitv1.SetRehomeAfter) errdefs.Reason {
	if c.GetTerm() != 0 {
		return errdefs.NotLeader
	}
	if !m.serving(c.GetId(), c.GetIncarnation()) {
		return errdefs.Fenced
	}
	n := m.nodes[c.GetId()]
	n.RehomeAfter = c.GetAfter().AsDuration()
	m.nodes[n.ID] = n
	return ""
}

func (m *registryModel) offer(c *snakepitv1.OfferTools) errdefs.Reason {
	if !m.serving(c.GetId(), c.GetIncarnation()) {
		return errdefs.Fenced
	}
	var names []string
	for _, hash := range c.GetSets() {
		name := nameAt(hash)
		if !m.anybodyHas(name) {
			return errdefs.Conflict
		}
		names = append(names, name)
	}
	m.tools[c.GetId()] = names
	delete(m.stored, c.GetId())
	return ""
}

func (m *registryModel) anybodyHas(name string) bool {
	for _, all := range []map[string][]string{m.stored, m.tools} {
		for _, names := range all {
			if slices.Contains(names, name) {
				return true
			}
		}
	}
	return false
}

func (m *registryModel) withdraw(id string) {
	delete(m.stored, id)
	delete(m.tools, id)
}

// takeBack is what a node has again when it's registered.
func (m *registryModel) takeBack(was, now Member) {
	if was.Nonce != now.Nonce {
		m.withdraw(now.ID)
	}
	for id, o := range m.owners {
		paused := was.Status == StatusPausing && o.Incarnation == was.Incarnation
		if o.Node == now.ID && (paused || m.sessions[id].Availability == host.AvailabilityLocal) {
			m.owners[id] = Owner{Node: now.ID, Incarnation: now.Incarnation}
		}
	}
	for worker, o := range m.claims {
		if was.Nonce == now.Nonce && o == (Owner{Node: was.ID, Incarnation: was.Incarnation}) {
			m.claims[worker] = Owner{Node: now.ID, Incarnation: now.Incarnation}
		}
	}
}

// stays reports whether a session may not go to another node.
func (m *registryModel) stays(id host.SessionID, to Owner) bool {
	o := m.owners[id]
	n, known := m.nodes[o.Node]
	return m.sessions[id].Availability == host.AvailabilityLocal && to.Node != o.Node && known && n.Status != StatusLeft
}

func (m *registryModel) compareMembers(rt *rapid.T, b *bench) {
	want := map[string]bool{}
	sets := map[string]bool{}
	for node, names := range m.tools {
		for _, name := range names {
			sets[name] = true
			if m.nodes[node].Status == StatusUp {
				want[name+" on "+node] = true
			}
		}
	}
	for _, names := range m.stored {
		for _, name := range names {
			sets[name] = true
		}
	}
	got := map[string]bool{}
	for _, t := range b.nodeTools("nobody") {
		got[t.Name+" on "+t.Node] = true
	}
	if !maps.Equal(got, want) || len(b.state.toolSets) != len(sets) {
		rt.Fatalf("tools %v in %d sets, want %v in %v", got, len(b.state.toolSets), want, sets)
	}
	if got := b.state.overrides; fmt.Sprint(got) != fmt.Sprint(m.knobs) {
		rt.Fatalf("knobs %v, want %v", got, m.knobs)
	}
	m.compareTokens(rt, b)
	for _, p := range b.processes() {
		o := m.claims[p.Worker]
		if p.Owner != o || p.Unverified != (o.Node != "" && !m.serving(o.Node, o.Incarnation)) {
			rt.Fatalf("process %+v of %+v", p, o)
		}
	}
	for _, n := range b.members() {
		if want := m.nodes[n.ID]; *n != want {
			rt.Fatalf("node %+v, want %+v", n, want)
		}
	}
}

func (m *registryModel) compareTokens(rt *rapid.T, b *bench) {
	tokens := b.tokens()
	for _, t := range tokens {
		want := m.tokens[string(t.hash[:])]
		if want == nil || int(t.uses) != want.uses || !maps.Equal(want.spent, spentBy(t)) {
			rt.Fatalf("token %+v, want %+v", t, want)
		}
	}
	if len(tokens) != len(m.tokens) {
		rt.Fatalf("%d tokens, want %d", len(tokens), len(m.tokens))
	}
}

func spentBy(t *token) map[string]bool {
	all := map[string]bool{}
	for _, node := range t.spent {
		all[node] = true
	}
	return all
}
