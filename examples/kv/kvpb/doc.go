// Package kvpb is the key-value store's wire, generated from kv.proto.
package kvpb
