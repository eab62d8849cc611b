package boltfile

import (
	"encoding/binary"
	"slices"
)

// Kinds of pages.
const (
	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
)

const (
	elementSize = 16 // of branches and leaves alike
	bucketFlag  = 0x01
	bucketSize  = 16 // of a bucket's header: its root page and its sequence
)

// page is one page, with the pages that it overflows into; or a page inside the
// value of a small bucket.
type page struct {
	id    uint64
	kind  uint16
	count uint16
	pages uint64 // 1 and its overflow
	body  []byte // with the header
}

// parsePage reads a header; the body is what the caller has of the page so far.
func parsePage(b []byte) page {
	order := binary.NativeEndian
	return page{
		id:    order.Uint64(b),
		kind:  order.Uint16(b[8:]),
		count: order.Uint16(b[10:]),
		pages: 1 + uint64(order.Uint32(b[12:])),
		body:  b,
	}
}

// element is a row of a branch or a leaf.
type element struct {
	key   []byte
	value []byte // of a leaf
	child uint64 // of a branch
	flags uint32 // of a leaf
}

// element reads row i. Every offset in it is checked against the page.
func (p page) element(i int) (element, error) {
	at := headerSize + i*elementSize
	if at+elementSize > len(p.body) {
		return element{}, torn("page %d has %d rows and no room for them", p.id, p.count)
	}
	row := p.body[at:]
	order := binary.NativeEndian
	if p.kind == branchPage {
		key, err := p.slice(at, order.Uint32(row), order.Uint32(row[4:]), 0)
		return element{key: key, child: order.Uint64(row[8:])}, err
	}
	keyLen := order.Uint32(row[8:])
	both, err := p.slice(at, order.Uint32(row[4:]), keyLen, order.Uint32(row[12:]))
	if err != nil {
		return element{}, err
	}
	return element{key: both[:keyLen], value: both[keyLen:], flags: order.Uint32(row)}, nil
}

// slice is a key, and a value after it, at an offset from its row.
func (p page) slice(at int, pos, keyLen, valueLen uint32) ([]byte, error) {
	from := uint64(at) + uint64(pos) //nolint:gosec // at is an index
	to := from + uint64(keyLen) + uint64(valueLen)
	if keyLen == 0 || to > uint64(len(p.body)) {
		return nil, torn("page %d has a row that leads out of it", p.id)
	}
	return p.body[from:to], nil
}

// free lists the pages that a freelist names.
func (p page) free() ([]uint64, error) {
	list := p.body[headerSize:]
	count := uint64(p.count)
	if count == 0xFFFF && len(list) >= 8 { // more than fits: the first entry is the count
		count, list = binary.NativeEndian.Uint64(list), list[8:]
	}
	if count > uint64(len(list)/8) {
		return nil, torn("the freelist names %d pages and has no room for them", count)
	}
	ids := make([]uint64, 0, count)
	for entry := range slices.Chunk(list[:count*8], 8) {
		ids = append(ids, binary.NativeEndian.Uint64(entry))
	}
	return ids, nil
}
