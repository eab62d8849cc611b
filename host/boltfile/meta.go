package boltfile

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
)

// The format of a bbolt file, version 2, in the byte order of the machine that wrote
// it. Each page starts with a header; pages 0 and 1 hold a meta each, of which the
// newer valid one counts; what it doesn't lead to is free.
const (
	magic       = 0xED0CDAED
	version     = 2
	metaSize    = 64
	noFreelist  = 1<<64 - 1
	headerSize  = 16
	minPageSize = 1 << 9
	maxPageSize = 1 << 24
)

// meta says where everything starts.
type meta struct {
	pageSize uint32
	root     uint64 // the page of the root bucket
	freelist uint64 // noFreelist: it's made anew when the file is opened
	end      uint64 // the first page that was never used
	txid     uint64
}

// readMeta finds the meta that bbolt would use.
func readMeta(r io.ReaderAt, size int64) (meta, error) {
	first, ok, err := metaAt(r, 0)
	if err != nil {
		return meta{}, err
	}
	if ok {
		second, ok2, err := metaAt(r, int64(first.pageSize))
		if ok2 && second.pageSize == first.pageSize && second.txid > first.txid {
			return second, err
		}
		return first, err
	}
	// The page size is in the damaged meta too, so the other may be at several places.
	for at := int64(1024); at <= maxPageSize && at < size-1024; at *= 2 {
		if second, ok, err := metaAt(r, at); err != nil || ok && int64(second.pageSize) == at {
			return second, err
		}
	}
	return meta{}, torn("no valid meta page")
}

// metaAt reads the meta in the page at an offset, and reports whether it's valid.
func metaAt(r io.ReaderAt, at int64) (meta, bool, error) {
	var b [headerSize + metaSize]byte
	if _, err := r.ReadAt(b[:], at); errors.Is(err, io.EOF) {
		return meta{}, false, nil
	} else if err != nil {
		return meta{}, false, err
	}
	m := b[headerSize:]
	sum := fnv.New64a()
	_, _ = sum.Write(m[:metaSize-8]) // never fails
	order := binary.NativeEndian
	valid := order.Uint32(m) == magic && order.Uint32(m[4:]) == version && order.Uint64(m[56:]) == sum.Sum64()
	got := meta{
		pageSize: order.Uint32(m[8:]),
		root:     order.Uint64(m[16:]),
		freelist: order.Uint64(m[32:]),
		end:      order.Uint64(m[40:]),
		txid:     order.Uint64(m[48:]),
	}
	return got, valid && got.pageSize >= minPageSize && got.pageSize <= maxPageSize, nil
}
