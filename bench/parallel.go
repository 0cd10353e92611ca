// parallel.go holds the reads by two goroutines at once: from one view, and by all
// ways side by side.

package main

import "fmt"

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
