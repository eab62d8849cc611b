package hardware

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Identity is what decides which builds of libraries a machine can run. It's the same
// from one start to the next, and on machines that are alike.
type Identity struct {
	Platform    string   `json:"platform"`
	Accelerator string   `json:"accelerator"`
	CPUFeatures []string `json:"cpu_features"`
	GPUCount    int      `json:"gpu_count"`
}

// Identity is the machine's.
func (h Hardware) Identity() Identity {
	id := Identity{Platform: h.Platform, Accelerator: h.Accelerator(), CPUFeatures: append([]string{}, h.CPU.Features...)}
	id.GPUCount = len(h.Devices(id.Accelerator))
	return id
}

// String is 16 hexadecimal digits that stand for the identity.
func (id Identity) String() string {
	b, _ := json.Marshal(id) // strings and a number always encode
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
