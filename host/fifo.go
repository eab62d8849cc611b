package host

// fifo is a list in order of arrival. Every operation takes constant time and
// allocates nothing: whoever can stand in the list carries its own link.
type fifo[T any] struct {
	head, tail *link[T]
	count      int
}

// link is one place in a fifo.
type link[T any] struct {
	value      T
	prev, next *link[T]
	in         *fifo[T] // nil: in none
}

// push puts l at the end; it mustn't be in a list.
func (f *fifo[T]) push(l *link[T]) {
	l.in, l.prev, l.next = f, f.tail, nil
	if f.tail == nil {
		f.head = l
	} else {
		f.tail.next = l
	}
	f.tail = l
	f.count++
}

// pushFront puts l before all others; it mustn't be in a list.
func (f *fifo[T]) pushFront(l *link[T]) {
	l.in, l.prev, l.next = f, nil, f.head
	if f.head == nil {
		f.tail = l
	} else {
		f.head.prev = l
	}
	f.head = l
	f.count++
}

// pop takes the first out; nil when the list is empty.
func (f *fifo[T]) pop() *link[T] {
	l := f.head
	if l != nil {
		f.remove(l)
	}
	return l
}

// remove takes l out and reports whether it was in this list.
func (f *fifo[T]) remove(l *link[T]) bool {
	if l.in != f {
		return false
	}
	if l.prev == nil {
		f.head = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		f.tail = l.prev
	} else {
		l.next.prev = l.prev
	}
	l.in, l.prev, l.next = nil, nil, nil
	f.count--
	return true
}
