package lane

// ring is a queue of streams that take turns.
type ring struct {
	buf     []*stream // its length is a power of two, or zero
	head, n int
}

func (r *ring) push(s *stream) {
	if r.n == len(r.buf) {
		r.grow()
	}
	r.buf[(r.head+r.n)&(len(r.buf)-1)] = s
	r.n++
}

func (r *ring) pop() *stream {
	s := r.buf[r.head]
	r.buf[r.head] = nil
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	return s
}

func (r *ring) grow() {
	bigger := make([]*stream, max(8, 2*len(r.buf)))
	for i := range r.n {
		bigger[i] = r.buf[(r.head+i)&(len(r.buf)-1)]
	}
	r.buf, r.head = bigger, 0
}
