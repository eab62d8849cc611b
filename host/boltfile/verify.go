package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxDepth bounds the walk through a file whose pages lead ever deeper: trees of
// 2^64 pages are flatter, and nobody nests buckets so far.
const maxDepth = 128

// verifier walks what a file's meta leads to.
type verifier struct {
	r    io.ReaderAt
	meta meta
	used []bool // by page
}

// span is where a page's keys lie: first is the first of them, as the branch above
// says, and all are below high; nil is no bound. bbolt finds a page's row in that branch by
// the page's first key: were they different, it would free the page twice.
type span struct{ first, high []byte }

// verify reads the whole of a file that is in use. Pages that are neither used nor
// free are a leak that harms nobody, and pass.
func verify(f *os.File) error {
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return err
	}
	m, err := readMeta(f, st.Size())
	if err != nil {
		return err
	}
	if most := uint64(st.Size()) / uint64(m.pageSize); m.end > most || m.end < 4 { //nolint:gosec // sizes aren't negative
		return torn("%d pages are in use and the file has %d", m.end, most)
	}
	v := &verifier{r: f, meta: m, used: make([]bool, m.end)}
	if err := v.tree(m.root, span{}, 0); err != nil {
		return err
	}
	return v.freelist()
}

// tree walks a page of a B+ tree and all below it.
func (v *verifier) tree(id uint64, in span, depth int) error {
	p, err := v.page(id)
	if err != nil {
		return err
	}
	switch {
	case depth > maxDepth:
		return torn("pages lead ever deeper at page %d", id)
	case p.kind == branchPage:
		return v.branch(p, in, depth)
	case p.kind == leafPage:
		return v.leaf(p, in, depth)
	default:
		return torn("page %d of a tree has kind %#x", id, p.kind)
	}
}

// page reads a page for the first time; a second time means that two lead to it.
func (v *verifier) page(id uint64) (page, error) {
	if id < 2 || id >= v.meta.end {
		return page{}, torn("page %d isn't in the file", id)
	}
	head := make([]byte, headerSize)
	if err := v.read(head, id); err != nil {
		return page{}, err
	}
	p := parsePage(head)
	if p.id != id || p.pages > v.meta.end-id {
		return page{}, torn("page %d says that it is page %d, of %d pages", id, p.id, p.pages)
	}
	for i := id; i < id+p.pages; i++ {
		if v.used[i] {
			return page{}, torn("page %d is used twice", i)
		}
		v.used[i] = true
	}
	p.body = make([]byte, p.pages*uint64(v.meta.pageSize))
	return p, v.read(p.body, id)
}

func (v *verifier) read(b []byte, id uint64) error {
	_, err := v.r.ReadAt(b, int64(id)*int64(v.meta.pageSize)) //nolint:gosec // ids are below the number of pages
	if errors.Is(err, io.EOF) {
		return torn("page %d isn't whole", id)
	}
	return err
}

func (v *verifier) branch(p page, in span, depth int) error {
	if p.count == 0 {
		return torn("branch page %d is empty", p.id)
	}
	rows, err := rowsOf(p, in)
	if err != nil {
		return err
	}
	for i, row := range rows {
		below := span{row.key, in.high}
		if i+1 < len(rows) {
			below.high = rows[i+1].key
		}
		if err := v.tree(row.child, below, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) leaf(p page, in span, depth int) error {
	rows, err := rowsOf(p, in)
	if err != nil {
		return err
	}
	for _, row := range rows {
		switch {
		case row.flags == 0:
		case row.flags == bucketFlag && p.id != 0:
			if err := v.bucket(row, depth+1); err != nil {
				return fmt.Errorf("bucket %q: %w", row.key, err)
			}
		default:
			return torn("page %d has a row of kind %#x", p.id, row.flags)
		}
	}
	return nil
}

// bucket walks a bucket: a tree of its own, or, when it's small, a leaf inside its
// row, which has no page number and holds no further buckets.
func (v *verifier) bucket(row element, depth int) error {
	if len(row.value) < bucketSize {
		return torn("its header is cut short")
	}
	if root := binary.NativeEndian.Uint64(row.value); root != 0 {
		return v.tree(root, span{}, depth)
	}
	inline := row.value[bucketSize:]
	if len(inline) < headerSize {
		return torn("its page is cut short")
	}
	p := parsePage(inline)
	if p.id != 0 || p.kind != leafPage {
		return torn("its page is page %d of kind %#x", p.id, p.kind)
	}
	return v.leaf(p, span{}, depth)
}

// freelist checks that no page is free that is in use, or free twice: writing to it
// would destroy what it holds.
func (v *verifier) freelist() error {
	if v.meta.freelist == noFreelist {
		return nil
	}
	p, err := v.page(v.meta.freelist)
	if err != nil {
		return fmt.Errorf("freelist: %w", err)
	}
	if p.kind != freelistPage {
		return torn("the freelist, page %d, has kind %#x", p.id, p.kind)
	}
	free, err := p.free()
	if err != nil {
		return err
	}
	for _, id := range free {
		if id < 2 || id >= v.meta.end || v.used[id] {
			return torn("page %d is free, and in use, free twice or not in the file", id)
		}
		v.used[id] = true
	}
	return nil
}

// rowsOf reads a page's rows, and checks that their keys rise within the span.
func rowsOf(p page, in span) ([]element, error) {
	if in.first != nil && p.count == 0 {
		return nil, torn("page %d is empty", p.id)
	}
	rows := make([]element, p.count)
	for i := range rows {
		row, err := p.element(i)
		if err != nil {
			return nil, err
		}
		if i > 0 && bytes.Compare(rows[i-1].key, row.key) >= 0 ||
			i == 0 && in.first != nil && !bytes.Equal(row.key, in.first) ||
			in.high != nil && bytes.Compare(row.key, in.high) >= 0 {
			return nil, torn("page %d has a key out of order", p.id)
		}
		rows[i] = row
	}
	return rows, nil
}

func torn(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrTorn, fmt.Sprintf(format, args...))
}
