// write.go holds the ways to write a file: the loop of read.go the other way
// round. In the block Write nothing is synced; in WriteSync every op ends with
// the call that puts the 500 pages onto the medium.

package main

import (
	"io"
	"os"
	"syscall"
	"unsafe"

	mapview "example.com/mapview/go"
	mmapgo "github.com/edsrzf/mmap-go"
)

func openWrite(path string, size int) (*block, error) {
	return openBlock("Write", path, size, newWriteCheck(path, size), syscallWrites,
		mapviewWrites, fileWrites, syscallWrites, mmapgoWrites, memoryWrites)
}

// openWriteSync takes os.File for its A/A pair: here the noise is the disk's.
func openWriteSync(path string, size int) (*block, error) {
	return openBlock("WriteSync", path, size, newWriteCheck(path, size), fileSyncs,
		mapviewSyncs, fileSyncs, syscallSyncs, mmapgoSyncs, memoryWrites)
}

// copyIn writes to bytes that are there: a mapping's, or ordinary memory. As
// with copyOut there is one for all.
//
//go:noinline
func copyIn(to []byte, size int) func([]byte, int) error {
	return func(buf []byte, stride int) error {
		for i := range accesses {
			copy(to[i*size:(i+1)*size], buf[i*stride:i*stride+size])
		}
		return nil
	}
}

// then has every pass end with sync.
func then(pass func([]byte, int) error, sync func() error) func([]byte, int) error {
	return func(buf []byte, stride int) error {
		if err := pass(buf, stride); err != nil {
			return err
		}
		return sync()
	}
}

func openViews(r *resources, path string) (views [3]*mapview.View, err error) {
	for i := range views {
		if views[i], err = mapview.OpenFile(path, os.O_RDWR, 0, nil); err != nil {
			return views, err
		}
		r.closeLater(views[i].Close)
	}
	return views, nil
}

func mapviewWrites(r *resources, path string, size int) ([]variant, error) {
	views, err := openViews(r, path)
	if err != nil {
		return nil, err
	}
	return []variant{
		{impl: "mapview", op: "WriteAt", pass: viewWriteAt(views[0], size)},
		{impl: "mapview", op: "Do", pass: viewDoWrite(views[1], size)},
		{impl: "mapview", op: "Bytes", pass: copyIn(views[2].Bytes(), size)},
	}, nil
}

func mapviewSyncs(r *resources, path string, size int) ([]variant, error) {
	views, err := openViews(r, path)
	if err != nil {
		return nil, err
	}
	return []variant{
		{impl: "mapview", op: "WriteAt+Sync", pass: then(viewWriteAt(views[0], size), views[0].Sync)},
		{impl: "mapview", op: "Do+Sync", pass: then(viewDoWrite(views[1], size), views[1].Sync)},
		{impl: "mapview", op: "Bytes+Sync", pass: then(copyIn(views[2].Bytes(), size), views[2].Sync)},
	}, nil
}

func viewWriteAt(v *mapview.View, size int) func([]byte, int) error {
	return func(buf []byte, stride int) error {
		for i := range accesses {
			n, err := v.WriteAt(buf[i*stride:i*stride+size], int64(i*size))
			if n != size || err != nil {
				return short(i, n, err)
			}
		}
		return nil
	}
}

func viewDoWrite(v *mapview.View, size int) func([]byte, int) error {
	return func(buf []byte, stride int) error {
		for i := range accesses {
			err := v.Do(func(b []byte) error {
				copy(b[i*size:(i+1)*size], buf[i*stride:i*stride+size])
				return nil
			})
			if err != nil {
				return short(i, 0, err)
			}
		}
		return nil
	}
}

func openToWrite(r *resources, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	r.closeLater(f.Close)
	return f, nil
}

func fileWriteAt(f *os.File, size int) func([]byte, int) error {
	return func(buf []byte, stride int) error {
		for i := range accesses {
			n, err := f.WriteAt(buf[i*stride:i*stride+size], int64(i*size))
			if n != size || err != nil {
				return short(i, n, err)
			}
		}
		return nil
	}
}

func fileWrites(r *resources, path string, size int) ([]variant, error) {
	f, err := openToWrite(r, path)
	if err != nil {
		return nil, err
	}
	// As with Read, the Seek is timed with the pass.
	write := func(buf []byte, stride int) error {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		for i := range accesses {
			n, err := f.Write(buf[i*stride : i*stride+size])
			if n != size || err != nil {
				return short(i, n, err)
			}
		}
		return nil
	}
	return []variant{
		{impl: "os.File", op: "Write", pass: write},
		{impl: "os.File", op: "WriteAt", pass: fileWriteAt(f, size)},
	}, nil
}

func fileSyncs(r *resources, path string, size int) ([]variant, error) {
	f, err := openToWrite(r, path)
	if err != nil {
		return nil, err
	}
	return []variant{{impl: "os.File", op: "WriteAt+Sync", pass: then(fileWriteAt(f, size), f.Sync)}}, nil
}

func syscallWrites(r *resources, path string, size int) ([]variant, error) {
	m, err := mapByHand(r, path, os.O_RDWR, syscall.PROT_READ|syscall.PROT_WRITE)
	if err != nil {
		return nil, err
	}
	return []variant{{impl: "syscall.Mmap", op: "copy", pass: copyIn(m, size)}}, nil
}

func syscallSyncs(r *resources, path string, size int) ([]variant, error) {
	m, err := mapByHand(r, path, os.O_RDWR, syscall.PROT_READ|syscall.PROT_WRITE)
	if err != nil {
		return nil, err
	}
	msync := func() error {
		_, _, errno := syscall.Syscall(syscall.SYS_MSYNC, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), syscall.MS_SYNC)
		if errno != 0 {
			return os.NewSyscallError("msync", errno)
		}
		return nil
	}
	return []variant{{impl: "syscall.Mmap", op: "copy+msync", pass: then(copyIn(m, size), msync)}}, nil
}

func mmapgoWrites(r *resources, path string, size int) ([]variant, error) {
	m, err := mapByMmapGo(r, path, os.O_RDWR, mmapgo.RDWR)
	if err != nil {
		return nil, err
	}
	return []variant{{impl: "mmap-go", op: "copy", pass: copyIn(m, size)}}, nil
}

func mmapgoSyncs(r *resources, path string, size int) ([]variant, error) {
	m, err := mapByMmapGo(r, path, os.O_RDWR, mmapgo.RDWR)
	if err != nil {
		return nil, err
	}
	return []variant{{impl: "mmap-go", op: "copy+Flush", pass: then(copyIn(m, size), m.Flush)}}, nil
}

// memoryWrites copies into ordinary memory: no file, and so no sync.
func memoryWrites(_ *resources, _ string, size int) ([]variant, error) {
	memory := make([]byte, fileSize)
	return []variant{{
		impl: "memory", op: "copy", pass: copyIn(memory, size),
		readBack: func(into []byte) error { copy(into, memory); return nil },
	}}, nil
}
