// guard.go holds the ways to read one view: what is the price of a fault being
// an error? So there is no peer, but the copy that a program without mapview
// would make, and all variants have the same pages of the same mapping.

package main

import (
	"fmt"

	mapview "example.com/mapview/go"
)

// openGuard has At, which returns one byte, where an access is one byte.
func openGuard(path string, content []byte, size int) (*block, error) {
	b := &block{name: "Guard", size: size, check: newReadCheck(content, size, 1)}
	b.title = fmt.Sprintf("what the guard costs: 500 reads of %s, from the same pages of one view", sizeText(size))
	v, err := openView(&b.resources, path)
	if err != nil {
		return nil, err
	}
	unguarded := variant{impl: "unguarded", op: "copy", pass: fromStart(copyOut(v.Bytes()), size)}
	b.variants = []variant{unguarded,
		{impl: "mapview", op: "ReadAt", pass: fromStart(readView(v), size)},
		{impl: "mapview", op: "Do", pass: fromStart(readDo(v), size)},
	}
	if size == 1 {
		b.variants = append(b.variants, variant{impl: "mapview", op: "At", pass: viewAt(v)})
	}
	unguarded.again = true
	b.variants = append(b.variants, unguarded)
	return b, nil
}

func viewAt(v *mapview.View) func([]byte, int) error {
	return func(buf []byte, stride int) error {
		for i := range accesses {
			buf[i*stride] = v.At(i)
		}
		return nil
	}
}

// A skip is the reason why a block cannot be measured here.
type skip string

func (s skip) Error() string { return string(s) }

// openTogether has the same pass on one goroutine and on two, each with a
// processor. The copies without a guard tell what the machine takes for that.
func openTogether(path string, content []byte, size, processors int) (*block, error) {
	if processors < 2 {
		return nil, skip("two goroutines on two processors: there is only one")
	}
	b := &block{name: "Together", size: size, check: newReadCheck(content, size, 2)}
	b.title = fmt.Sprintf("500 reads of %s by each of two goroutines at once, from the same pages of one view", sizeText(size))
	v, err := openView(&b.resources, path)
	if err != nil {
		return nil, err
	}
	b.useProcessors(2)
	readAt, unguarded := fromStart(readView(v), size), fromStart(copyOut(v.Bytes()), size)
	b.variants = []variant{
		{impl: "mapview", op: "ReadAt,one", pass: readAt, goroutines: 1},
		{impl: "mapview", op: "ReadAt,two", pass: readAt, goroutines: 2},
		{impl: "unguarded", op: "copy,one", pass: unguarded, goroutines: 1},
		{impl: "unguarded", op: "copy,two", pass: unguarded, goroutines: 2},
		{impl: "mapview", op: "ReadAt,one", pass: readAt, goroutines: 1, again: true},
	}
	return b, nil
}

// openParallel has the ways side by side: the same pass on one goroutine and on
// two, each with a processor of its own.
func openParallel(path string, content []byte, size, processors int) (*block, error) {
	if processors < 2 {
		return nil, skip("two goroutines on two processors: there is only one")
	}
	b := &block{name: "Parallel", size: size, keys: "/pattern=seq/cache=resident", check: newReadCheck(content, size, 2)}
	b.title = fmt.Sprintf("500 reads of %s by each of two goroutines at once, against one alone", sizeText(size))
	b.useProcessors(2)
	add := func(impl, op string, again bool, pass func([]byte, int) error) {
		b.variants = append(b.variants, variant{impl: impl, op: op + ",one", pass: pass, goroutines: 1, again: again})
		if !again {
			b.variants = append(b.variants, variant{impl: impl, op: op + ",two", pass: pass, goroutines: 2})
		}
	}
	for i, w := range waysAndPair() {
		o, err := w.openIt(&b.resources, path, how{})
		if err != nil {
			b.close()
			return nil, err
		}
		add(w.impl, w.read, i == len(ways), fromStart(o.read, size))
	}
	add("memory", "copy", false, fromStart(copyOut(content), size))
	return b, nil
}
