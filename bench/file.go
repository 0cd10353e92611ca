// file.go makes the files that are read and written.

package main

import (
	"math/rand/v2"
	"os"
)

const fileSize = accesses * 4096

// accessesOf returns how many accesses of that size are one op: as many as the
// notes have, or what the file holds of so large ones.
func accessesOf(size int) int { return min(accesses, fileSize/size) }

// makeFile creates a file of random bytes, has them written to the medium so
// that nothing is left to be written while others are timed, reads them once so
// that they are in the page cache, and returns them.
func makeFile(path string, seed byte) ([]byte, error) {
	content := make([]byte, fileSize)
	rand.NewChaCha8([32]byte{seed}).Read(content)
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.Write(content); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	got, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return got, compare(got, content)
}
