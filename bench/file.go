// file.go makes the files that are read and written.

package main

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
)

const fileSize = accesses * 4096

// makeFile creates a file of random bytes, reads them once and returns them.
func makeFile(path string, seed byte) ([]byte, error) {
	content := make([]byte, fileSize)
	rand.NewChaCha8([32]byte{seed}).Read(content)
	if err := writeFile(path, content); err != nil {
		return nil, err
	}
	got, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return got, compare(got, content)
}

const (
	largeFolio = 128 // KiB
	tries      = 5
)

// writeFile has content in the page cache and on the medium, so that nothing is
// left to be written while others are timed. Where the file system has large
// folios, they are large: they get as large as the writes, if there is memory in
// one piece; if not, it is tried again.
func writeFile(path string, content []byte) error {
	for range tries {
		folio, err := writeOnce(path, content)
		if err != nil || folio >= min(largeFolio, len(content)/2048) {
			return err
		}
	}
	return nil
}

func writeOnce(path string, content []byte) (folio int, err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for off := 0; off < len(content); off += piece {
		if _, err := f.Write(content[off:min(off+piece, len(content))]); err != nil {
			return 0, err
		}
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	folio, err = folioKiB(f, len(content))
	if err != nil {
		return largeFolio, nil // the state will say that it is not known
	}
	return folio, nil
}
