// read.go holds the notes' loop, repaired. Nothing is closed inside it, the file
// has every byte that is asked for, and every count and error is looked at.

package main

import (
	"fmt"
	"io"
	"os"

	mapview "example.com/mapview/go"
)

// An opener opens the file at path and returns the variants that use it.
type opener func(r *resources, path string, size int) ([]variant, error)

// openBlock puts a block's variants together. again, which is one of the
// openers, is called once more for the A/A pair: the same code on a mapping or
// descriptor of its own, since the place of a mapping makes a difference, too.
func openBlock(name, title, path string, size int, c check, again opener, openers ...opener) (*block, error) {
	b := &block{name: name, title: title, size: size, check: c}
	for i, open := range append(openers, again) {
		vs, err := open(&b.resources, path, size)
		if err != nil {
			b.close()
			return nil, err
		}
		for k := range vs {
			vs[k].again = i == len(openers)
		}
		b.variants = append(b.variants, vs...)
	}
	return b, nil
}

func openRead(path string, content []byte, size int) (*block, error) {
	var openers []opener
	for i := range ways {
		if ways[i].op(false) == "ReadAt,resident" {
			continue // what that costs is in Hot
		}
		openers = append(openers, ways[i].opener(false))
	}
	memory := func(*resources, string, int) ([]variant, error) {
		return []variant{{impl: "memory", op: "copy", pass: fromStart(copyOut(content), size)}}, nil
	}
	title := fmt.Sprintf("500 reads of %s in a row", sizeText(size))
	return openBlock("Read", title, path, size, newReadCheck(content, size, 1), wayNamed("syscall.Mmap", "copy").opener(false),
		append(openers, fileReads, memory)...)
}

// op returns what the way's call is named, "" if it cannot do that.
func (w *way) op(write bool) string {
	if write {
		return w.write
	}
	return w.read
}

// opener is for the notes' rows: each pass begins at the start of the file.
func (w *way) opener(write bool) opener {
	return func(r *resources, path string, size int) ([]variant, error) {
		o, err := w.openIt(r, path, how{write: write})
		if err != nil {
			return nil, err
		}
		return []variant{{impl: w.impl, op: w.op(write), pass: fromStart(o.loop(write), size)}}, nil
	}
}

func (o *opened) loop(write bool) loop {
	if write {
		return o.write
	}
	return o.read
}

// fileReads has Read, which needs a Seek back to the start once a pass. It is
// timed with it.
func fileReads(r *resources, path string, size int) ([]variant, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r.closeLater(f.Close)
	return []variant{{impl: "os.File", op: "Read", pass: func(buf []byte, stride int) error {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		for i := range accesses {
			n, err := f.Read(buf[i*stride : i*stride+size])
			if n != size || err != nil {
				return short(i, n, err)
			}
		}
		return nil
	}}}, nil
}

func openView(r *resources, path string) (*mapview.View, error) {
	v, err := mapview.Open(path)
	if err != nil {
		return nil, err
	}
	r.closeLater(v.Close)
	return v, nil
}
