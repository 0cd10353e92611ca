//go:build mmapfile

// peer_mmapfile.go has the peer go.dw1.io/mmapfile (github.com/dwisiswant0/mmapfile),
// which not every place can download, and which needs Go 1.25. To measure it:
//
//	go get go.dw1.io/mmapfile        (in this folder; changes go.mod and go.sum)
//	GOFLAGS=-tags=mmapfile make bench
//
// Written to its documentation, and not run so far. Without it, go mod tidy needs -e.

package main

import (
	"os"

	"go.dw1.io/mmapfile"
)

func init() {
	ways = append(ways, way{"mmapfile", "ReadAt", "WriteAt", "Sync", openMmapfile})
	openings = append(openings, namedOpening{"mmapfile", func(path string, p []byte, off int64) (int, error) {
		f, err := mmapfile.OpenFile(path, os.O_RDONLY, 0, 0)
		if err != nil {
			return 0, err
		}
		return readAndClose(p, off, f.ReadAt, f.Close)
	}})
}

func openMmapfile(r *resources, path string, how how) (*opened, error) {
	f, err := mmapfile.OpenFile(path, how.flag(), 0, 0)
	if err != nil {
		return nil, err
	}
	r.closeLater(f.Close)
	return how.advised(&opened{read: readMmapfile(f), write: writeMmapfile(f), sync: f.Sync, bytes: f.Bytes()})
}

func readMmapfile(f *mmapfile.MmapFile) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		size, off := w.size, 0
		for i := range w.times {
			off, at = w.place(at)
			if n, err := f.ReadAt(buf[i*stride:i*stride+size], int64(off)); n != size || err != nil {
				return at, short(i, n, err)
			}
		}
		return at, nil
	}
}

func writeMmapfile(f *mmapfile.MmapFile) loop {
	return func(buf []byte, stride int, w *walk, at uint64) (uint64, error) {
		size, off := w.size, 0
		for i := range w.times {
			off, at = w.place(at)
			if n, err := f.WriteAt(buf[i*stride:i*stride+size], int64(off)); n != size || err != nil {
				return at, short(i, n, err)
			}
		}
		return at, nil
	}
}
