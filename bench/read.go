// read.go holds the ways to read a file: the notes' loop, repaired. Nothing is
// closed inside it, the file has every byte that is asked for, and every count
// and error is looked at.
//
// Each method is called in a loop of its own, not through io.ReaderAt: an
// indirect call would add the same nanosecond to all and hide a part of the
// difference.

package main

import (
	"fmt"
	"io"
	"os"
	"syscall"

	mapview "example.com/mapview/go"
	dropin "example.com/mapview/go/mmap"
	mmapgo "github.com/edsrzf/mmap-go"
	expmmap "golang.org/x/exp/mmap"
)

// An opener opens the file at path and returns the variants that use it.
type opener func(r *resources, path string, size int) ([]variant, error)

// openBlock puts a block's variants together. again, which is one of the
// openers, is called once more for the A/A pair: the same code on a mapping or
// descriptor of its own, since the place of a mapping makes a difference, too.
func openBlock(name, path string, size int, c check, again opener, openers ...opener) (*block, error) {
	b := &block{name: name, size: size, check: c}
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
	return openBlock("Read", path, size, newReadCheck(content, size, 1), syscallReads,
		mapviewReads, dropinReads, expReads, fileReads, syscallReads, mmapgoReads,
		func(*resources, string, int) ([]variant, error) {
			return []variant{{impl: "memory", op: "copy", pass: copyOut(content, size)}}, nil
		})
}

func short(access, n int, err error) error {
	return fmt.Errorf("access %d moved %d bytes: %w", access, n, err)
}

// copyOut reads from bytes that are there: a mapping's, or ordinary memory. It
// must not be inlined: each caller would get a loop of its own, and where the
// linker puts such a loop makes up to 5 % of a copy of 4 KiB. So all share one.
//
//go:noinline
func copyOut(from []byte, size int) func([]byte, int) error {
	return func(buf []byte, stride int) error {
		for i := range accesses {
			copy(buf[i*stride:i*stride+size], from[i*size:(i+1)*size])
		}
		return nil
	}
}

func mapviewReads(r *resources, path string, size int) ([]variant, error) {
	var views [3]*mapview.View // each variant has a mapping of its own, as the peers do
	for i := range views {
		v, err := mapview.Open(path)
		if err != nil {
			return nil, err
		}
		r.closeLater(v.Close)
		views[i] = v
	}
	return []variant{
		{impl: "mapview", op: "ReadAt", pass: viewReadAt(views[0], size)},
		{impl: "mapview", op: "Do", pass: viewDoRead(views[1], size)},
		{impl: "mapview", op: "Bytes", pass: copyOut(views[2].Bytes(), size)},
	}, nil
}

func viewReadAt(v *mapview.View, size int) func([]byte, int) error {
	return func(buf []byte, stride int) error {
		for i := range accesses {
			n, err := v.ReadAt(buf[i*stride:i*stride+size], int64(i*size))
			if n != size || err != nil {
				return short(i, n, err)
			}
		}
		return nil
	}
}

// viewDoRead calls Do once for each access, as ReadAt is.
func viewDoRead(v *mapview.View, size int) func([]byte, int) error {
	return func(buf []byte, stride int) error {
		for i := range accesses {
			err := v.Do(func(b []byte) error {
				copy(buf[i*stride:i*stride+size], b[i*size:(i+1)*size])
				return nil
			})
			if err != nil {
				return short(i, 0, err)
			}
		}
		return nil
	}
}

func dropinReads(r *resources, path string, size int) ([]variant, error) {
	m, err := dropin.Open(path)
	if err != nil {
		return nil, err
	}
	r.closeLater(m.Close)
	return []variant{{impl: "mapview-mmap", op: "ReadAt", pass: func(buf []byte, stride int) error {
		for i := range accesses {
			n, err := m.ReadAt(buf[i*stride:i*stride+size], int64(i*size))
			if n != size || err != nil {
				return short(i, n, err)
			}
		}
		return nil
	}}}, nil
}

func expReads(r *resources, path string, size int) ([]variant, error) {
	m, err := expmmap.Open(path)
	if err != nil {
		return nil, err
	}
	r.closeLater(m.Close)
	return []variant{{impl: "exp-mmap", op: "ReadAt", pass: func(buf []byte, stride int) error {
		for i := range accesses {
			n, err := m.ReadAt(buf[i*stride:i*stride+size], int64(i*size))
			if n != size || err != nil {
				return short(i, n, err)
			}
		}
		return nil
	}}}, nil
}

func fileReads(r *resources, path string, size int) ([]variant, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r.closeLater(f.Close)
	// Read needs a Seek back to the start once a pass, which is timed with it.
	read := func(buf []byte, stride int) error {
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
	}
	readAt := func(buf []byte, stride int) error {
		for i := range accesses {
			n, err := f.ReadAt(buf[i*stride:i*stride+size], int64(i*size))
			if n != size || err != nil {
				return short(i, n, err)
			}
		}
		return nil
	}
	return []variant{
		{impl: "os.File", op: "Read", pass: read},
		{impl: "os.File", op: "ReadAt", pass: readAt},
	}, nil
}

func syscallReads(r *resources, path string, size int) ([]variant, error) {
	m, err := mapByHand(r, path, os.O_RDONLY, syscall.PROT_READ)
	if err != nil {
		return nil, err
	}
	return []variant{{impl: "syscall.Mmap", op: "copy", pass: copyOut(m, size)}}, nil
}

func mapByHand(r *resources, path string, flag, prot int) ([]byte, error) {
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := syscall.Mmap(int(f.Fd()), 0, fileSize, prot, syscall.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	r.closeLater(func() error { return syscall.Munmap(m) })
	return m, nil
}

func mmapgoReads(r *resources, path string, size int) ([]variant, error) {
	m, err := mapByMmapGo(r, path, os.O_RDONLY, mmapgo.RDONLY)
	if err != nil {
		return nil, err
	}
	return []variant{{impl: "mmap-go", op: "copy", pass: copyOut(m, size)}}, nil
}

func mapByMmapGo(r *resources, path string, flag, prot int) (mmapgo.MMap, error) {
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := mmapgo.Map(f, prot, 0)
	if err != nil {
		return nil, err
	}
	r.closeLater(m.Unmap)
	return m, nil
}
