package host

import "context"

// A ToolRegistry is a [Registry] of several nodes that also knows what tools each of
// them offers.
type ToolRegistry interface {
	// PublishTools says what this node offers, in place of what it said before. Sets of
	// the same content are stored once. It blocks until that is recorded. Errors:
	// payload_too_large; those of a write.
	PublishTools(ctx context.Context, tools []OfferedTool) error
	// NodeTools lists what the other nodes offer that are up, sorted by name, pool and
	// node. It's read from memory, and must not be changed.
	NodeTools() []NodeTool
}

// NodeTool is a tool of another node.
type NodeTool struct {
	OfferedTool

	Node string
}
