package cluster

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

const (
	// rulesVersion is the version of the rules by which this program changes the
	// registry. It grows with each command, field or limit that a program of the
	// version before would not know.
	rulesVersion = 3
	// maxEntry is the size of the largest entry, in bytes.
	maxEntry = 256 << 10
	// maxCommands is how many commands one entry may have.
	maxCommands = 256
)

func encodeEntry(origin string, answered uint64, commands []*snakepitv1.RegistryCommand) ([]byte, error) {
	version := uint32(1)
	for _, c := range commands {
		version = max(version, needs(c))
	}
	return proto.Marshal(&snakepitv1.RegistryEntry{Version: version, Origin: origin, Answered: answered, Commands: commands})
}

// needs is the version of the rules that a command is of. Fields and commands that
// came with version 2 have numbers from 30 on, but for two of a session, and those
// that came with version 3 from 60 on.
func needs(c *snakepitv1.RegistryCommand) uint32 {
	s := c.GetOpenSession().GetSession()
	switch highest := highest(c.ProtoReflect()); {
	case highest >= 60:
		return 3
	case highest >= 30 || s.GetAffinity() != "" || s.GetConcurrent():
		return 2
	}
	return 1
}

// highest is the highest number that a field of a message has, or of one in it, but
// for those in lists: what came later there came with a new command.
func highest(m protoreflect.Message) (number protoreflect.FieldNumber) {
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		number = max(number, field.Number())
		if field.Message() != nil && !field.IsMap() && !field.IsList() {
			number = max(number, highest(v.Message()))
		}
		return true
	})
	return number
}

// decodeEntry reads an entry of the log. Whatever it doesn't know wholly is an
// error, version_mismatch where a newer program knows it: applying a part would
// make this registry differ from others.
func decodeEntry(data []byte) (*snakepitv1.RegistryEntry, error) {
	e := &snakepitv1.RegistryEntry{}
	if err := proto.Unmarshal(data, e); err != nil {
		return nil, errdefs.Wrap(errdefs.Internal, err, "it isn't an entry of the registry")
	}
	if err := checkVersion(e.GetVersion(), e); err != nil {
		return nil, err
	}
	for _, c := range e.GetCommands() {
		if c.GetCommand() == nil {
			return nil, versionMismatch(rulesVersion+1, rulesVersion)
		}
	}
	return e, nil
}

// knownTo refuses a version of the rules that is higher than one that is followed.
func knownTo(knows, version uint32) error {
	if version > knows {
		return versionMismatch(version, knows)
	}
	return nil
}

// checkVersion refuses a message of rules that this program doesn't know, whether
// its version says so or only its content.
func checkVersion(version uint32, m proto.Message) error {
	switch {
	case version > rulesVersion:
		return versionMismatch(version, rulesVersion)
	case version == 0:
		return errdefs.New(errdefs.Internal, "it has no version")
	case unknown(m.ProtoReflect()):
		return versionMismatch(rulesVersion+1, rulesVersion)
	}
	return nil
}

func versionMismatch(needed, knows uint32) error {
	e := errdefs.New(errdefs.VersionMismatch, "version %d of the registry's rules is needed, and this program knows %d", needed, knows)
	e.Hint = "nothing is lost: start the newer program that wrote it"
	return e
}

// unknown reports whether a message, or one in it, has fields that this program
// doesn't know.
func unknown(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	found := false
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.Message() == nil || field.IsMap():
		case field.IsList():
			for i := 0; i < v.List().Len() && !found; i++ {
				found = unknown(v.List().Get(i).Message())
			}
		default:
			found = unknown(v.Message())
		}
		return !found
	})
	return found
}

// subject is what a command is about: no two of one entry may be about the same.
func subject(c *snakepitv1.RegistryCommand) string {
	switch c := c.GetCommand().(type) {
	case *snakepitv1.RegistryCommand_OpenSession:
		return "session " + c.OpenSession.GetSession().GetId()
	case *snakepitv1.RegistryCommand_BindSession:
		return "session " + c.BindSession.GetId()
	case *snakepitv1.RegistryCommand_ForgetSession:
		return "session " + c.ForgetSession.GetId()
	case *snakepitv1.RegistryCommand_ClaimProcess:
		return "worker " + c.ClaimProcess.GetProcess().GetWorker()
	case *snakepitv1.RegistryCommand_ReleaseProcess:
		return "worker " + c.ReleaseProcess.GetWorker()
	case *snakepitv1.RegistryCommand_RegisterNode:
		return "node " + c.RegisterNode.GetNode().GetId()
	case *snakepitv1.RegistryCommand_SetNodeStatus:
		return "node " + c.SetNodeStatus.GetId()
	case *snakepitv1.RegistryCommand_ForgetNode:
		return "node " + c.ForgetNode.GetId()
	case *snakepitv1.RegistryCommand_MoveSession:
		return "session " + c.MoveSession.GetId()
	case *snakepitv1.RegistryCommand_SetState:
		return "session " + c.SetState.GetId()
	}
	return memberSubject(c)
}

// memberSubject is that of commands of version 3.
func memberSubject(c *snakepitv1.RegistryCommand) string {
	switch c := c.GetCommand().(type) {
	case *snakepitv1.RegistryCommand_PauseNode:
		return "node " + c.PauseNode.GetId()
	case *snakepitv1.RegistryCommand_SetRehomeAfter:
		return "node " + c.SetRehomeAfter.GetId()
	case *snakepitv1.RegistryCommand_StoreTools:
		return "node " + c.StoreTools.GetId()
	case *snakepitv1.RegistryCommand_OfferTools:
		return "node " + c.OfferTools.GetId()
	case *snakepitv1.RegistryCommand_AddToken:
		return "token " + string(c.AddToken.GetHash())
	case *snakepitv1.RegistryCommand_DropToken:
		return "token " + string(c.DropToken.GetHash())
	case *snakepitv1.RegistryCommand_SpendToken:
		return "token " + string(c.SpendToken.GetHash())
	case *snakepitv1.RegistryCommand_SetPoolOverride:
		return "pool " + c.SetPoolOverride.GetPool()
	}
	return "registry"
}

// alone reports whether a command must be the only one of its entry, since it's
// about many things, or changes what epochs and rules the others are run under.
func alone(c *snakepitv1.RegistryCommand) bool {
	switch c.GetCommand().(type) {
	case *snakepitv1.RegistryCommand_Rehome, *snakepitv1.RegistryCommand_SetFeatureLevel:
		return true
	}
	return false
}
