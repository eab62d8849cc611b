package main

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// fill sets every field of a message to something that isn't zero.
func fill(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.IsMap():
			m.Mutable(f).Map().Set(protoreflect.ValueOfString("k").MapKey(), one(f.MapValue().Kind()))
		case f.IsList() && f.Message() != nil:
			fill(m.Mutable(f).List().AppendMutable().Message())
		case f.IsList():
			m.Mutable(f).List().Append(one(f.Kind()))
		case f.Message() != nil:
			fill(m.Mutable(f).Message())
		default:
			m.Set(f, one(f.Kind()))
		}
	}
}

func one(k protoreflect.Kind) protoreflect.Value {
	switch k { //nolint:exhaustive // those that there are
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("text")
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(7)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(7)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(7)
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	}
	return protoreflect.ValueOfUint64(7)
}

func filledMessage[M proto.Message](m M) M {
	fill(m.ProtoReflect())
	return m
}

// TestNothingOfAStatusIsLostOnItsWay: what the host tells is in the JSON.
func TestNothingOfAStatusIsLostOnItsWay(t *testing.T) {
	t.Parallel()
	pool := poolStatusFromWire(filledMessage(&snakepitv1.PoolStatus{}))
	worker := workerOf(workerFromWire(filledMessage(&snakepitv1.WorkerStatus{})))
	session := sessionOf(sessionFromWire(filledMessage(&snakepitv1.SessionStatus{})))
	status := statusFromWire(filledMessage(&snakepitv1.StatusResponse{}))
	worker.Age, status.Uptime = 1, 1 // told by the program
	for name, v := range map[string]any{"pool": pool, "worker": worker, "session": session, "status": status} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var fields any
		if err := json.Unmarshal(b, &fields); err != nil {
			t.Fatal(err)
		}
		nothingIsZero(t, name, fields)
	}
	if n := pool.QueueTime.histogram.Count(); n != 7 || pool.RunTime.histogram.Max != 7*time.Microsecond {
		t.Errorf("histograms %+v, %+v", pool.QueueTime, pool.RunTime)
	}
}

func nothingIsZero(t *testing.T, path string, v any) {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			nothingIsZero(t, path+"."+key, value)
		}
	case []any:
		if len(v) == 0 {
			t.Errorf("%s is empty", path)
		}
		for _, value := range v {
			nothingIsZero(t, path, value)
		}
	default:
		if slices.Contains([]any{nil, "", 0.0, false, "0001-01-01T00:00:00Z"}, v) {
			t.Errorf("%s is %v", path, v)
		}
	}
}
