// slice.go uses the bytes in place: a sum over each record, with no copy. All
// ways have the same two loops, so that the memory is all that differs.

package main

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	mapview "example.com/mapview/go"
)

//go:noinline
func sumBytes(p []byte) (sum uint64) {
	for _, b := range p {
		sum += uint64(b)
	}
	return sum
}

//go:noinline
func sumWords(p []uint64) (sum uint64) {
	for _, w := range p {
		sum += w
	}
	return sum
}

// sumsOfBytes leaves the sum of the ith access in buf at i*stride.
//
//go:noinline
func sumsOfBytes(from []byte) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		size, off := w.size, 0
		for i := range w.times {
			off, at = w.place(at)
			binary.LittleEndian.PutUint64(buf[i*stride:], sumBytes(from[off:off+size]))
		}
		return at, nil
	}
}

//go:noinline
func sumsOfWords(from []uint64) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		size, off := w.size/8, 0
		for i := range w.times {
			off, at = w.place(at)
			binary.LittleEndian.PutUint64(buf[i*stride:], sumWords(from[off/8:off/8+size]))
		}
		return at, nil
	}
}

// Under Do, which is called for each record.
func sumsUnderDo(v *mapview.View, words bool) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		size, off := w.size, 0
		for i := range w.times {
			off, at = w.place(at)
			var sum uint64
			err := v.Do(func(b []byte) error {
				if b = b[off : off+size]; words {
					sum = sumWords(asWords(b))
				} else {
					sum = sumBytes(b)
				}
				return nil
			})
			if err != nil {
				return at, short(i, 0, err)
			}
			binary.LittleEndian.PutUint64(buf[i*stride:], sum)
		}
		return at, nil
	}
}

// asWords is for bytes that begin at a multiple of 8.
func asWords(p []byte) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(&p[0])), len(p)/8)
}

// A sumCheck works the sums out anew.
type sumCheck struct {
	memory    []byte
	words     bool
	buf, wide []byte
}

func (c *sumCheck) buffers() [][]byte { return [][]byte{c.buf} }

func (c *sumCheck) want(off, size int) (sum uint64) {
	for i := off; i < off+size; i += 8 {
		x := word(i / 8)
		if c.words {
			sum += x
			continue
		}
		for ; x != 0; x >>= 8 {
			sum += x & 0xff
		}
	}
	return sum
}

func (c *sumCheck) whole(v *variant) error {
	clear(c.wide)
	v.trace.was = v.trace.at
	if err := v.pass(c.wide, 8); err != nil {
		return err
	}
	return c.compare(v, v.trace.w.times, v.trace.w.times, c.wide)
}

func (c *sumCheck) before(v *variant) {
	clear(c.buf)
	v.trace.begin()
}

func (c *sumCheck) after(v *variant, passes int) error {
	return c.compare(v, passes*v.trace.w.times, 1, c.buf)
}

// compare looks at the sums of the last n accesses.
func (c *sumCheck) compare(v *variant, accesses, n int, sums []byte) error {
	places, err := v.trace.places(accesses, n)
	if err != nil {
		return err
	}
	for i, off := range places {
		if got, want := binary.LittleEndian.Uint64(sums[i*8:]), c.want(off, v.trace.w.size); got != want {
			return fmt.Errorf("the sum of %d bytes at %d is %d and should be %d", v.trace.w.size, off, got, want)
		}
	}
	return nil
}

const sliceSet = 1 << 20

func planSlice(s *scene) (blocks []func() (*block, error), err error) {
	set, err := makeSet(&s.resources, s.dir, "go-slice", sliceSet)
	if err != nil {
		return nil, err
	}
	for _, words := range []bool{false, true} {
		blocks = append(blocks, forSizes(func(size int) (*block, error) { return openSlice(set, size, words) }, 4096, sliceSet)...)
	}
	return blocks, nil
}

func openSlice(s *set, size int, words bool) (*block, error) {
	l := workload{size: size, set: s.size}
	w := l.walk()
	w.times = max(1, 65536/size)
	b := &block{name: "Slice", size: size, each: w.times, state: s.state}
	b.check = &sumCheck{s.memory, words, make([]byte, 8), make([]byte, 8*w.times)}
	of := "byte"
	if words {
		of = "uint64"
	}
	b.keys = "/of=" + of + "/pattern=seq/cache=resident"
	b.title = fmt.Sprintf("the sum of %s as %ss, in place", sizeText(size), of)
	if err := b.addSums(s, w, words); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// addSums has the plain slice, in memory without a file, for the limit and for
// the A/A pair.
func (b *block) addSums(s *set, w *walk, words bool) error {
	add := func(impl, op string, again bool, l loop) {
		b.variants = append(b.variants, (&trace{loop: l, w: w}).variant(impl, op, again))
	}
	inPlace := func(m []byte) loop {
		if words {
			return sumsOfWords(asWords(m))
		}
		return sumsOfBytes(m)
	}
	add("memory", "slice", false, inPlace(s.memory[:s.size]))
	if err := b.addViewSums(s.path, words, add); err != nil {
		return err
	}
	for i := range ways {
		way := &ways[i]
		if way.impl == "mapview" {
			continue
		}
		o, err := way.openIt(&b.resources, s.path, how{})
		if err != nil {
			return err
		}
		if way.read == "copy" { // others do not give their bytes away
			add(way.impl, "slice", false, inPlace(o.bytes))
		}
	}
	add("memory", "slice", true, inPlace(s.memory[:s.size]))
	return nil
}

func (b *block) addViewSums(path string, words bool, add func(impl, op string, again bool, l loop)) error {
	var views [3]*mapview.View
	for i := range views {
		v, err := openView(&b.resources, path)
		if err != nil {
			return err
		}
		views[i] = v
	}
	add("mapview", "Do", false, sumsUnderDo(views[0], words))
	if words {
		typed, err := mapview.Slice[uint64](views[1], 0, sliceSet/8)
		if err != nil {
			return err
		}
		add("mapview", "Slice", false, sumsOfWords(typed))
		add("mapview", "Bytes", false, sumsOfWords(asWords(views[2].Bytes())))
		return nil
	}
	typed, err := mapview.Slice[byte](views[1], 0, sliceSet)
	if err != nil {
		return err
	}
	add("mapview", "Slice", false, sumsOfBytes(typed))
	add("mapview", "Bytes", false, sumsOfBytes(views[2].Bytes()))
	return nil
}
