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
