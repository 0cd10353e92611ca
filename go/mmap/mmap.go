// Package mmap reads memory-mapped files. A program that imports
// golang.org/x/exp/mmap can import it instead and change nothing else.
//
// It differs where that package ends the program or allocates: a byte that
// cannot be read, because somebody has cut the file or the device fails, is an
// error of ReadAt (a *FaultError of example.com/mapview/go, the panic value of
// At), but for the zeros up to the end of the page that the file now ends in;
// Close may be called beside any other method; reading allocates nothing.
//
// The errors have the same texts, and answer errors.Is besides: the one of a
// closed reader is [os.ErrClosed], that of a bad offset [fs.ErrInvalid]. A file
// that cannot be mapped is a [*fs.PathError] around the syscall.Errno, and not
// the bare number; a directory is syscall.EISDIR.
//
// To write as well, use example.com/mapview/go itself.
package mmap

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	mapview "example.com/mapview/go"
)

// A ReaderAt reads a memory-mapped file. All its methods may be called at the
// same time from any number of goroutines. The zero ReaderAt is closed.
type ReaderAt struct {
	view *mapview.View
	size int64 // when it was opened
}

// Open maps the named file for reading. What has a length of 0 as far as the
// system tells, such as a device or a file in /proc, is empty.
func Open(filename string) (*ReaderAt, error) {
	view, err := mapview.Open(filename)
	if errors.Is(err, syscall.ENODEV) && isEmpty(filename) {
		view, err = mapview.Anonymous(0, nil)
	}
	if err != nil {
		return nil, err
	}
	return &ReaderAt{view, view.Size()}, nil
}

func isEmpty(filename string) bool {
	info, err := os.Stat(filename)
	return err == nil && info.Size() == 0
}

// Close closes the reader. A second Close returns nil.
func (r *ReaderAt) Close() error {
	if r.view == nil {
		return nil
	}
	return r.view.Close()
}

// Len returns the length of the file when it was opened, 0 after Close.
func (r *ReaderAt) Len() int {
	if r.view == nil {
		return 0
	}
	return r.view.Len()
}

// At returns the byte at index i. It panics like the index of a slice if there
// is none.
func (r *ReaderAt) At(i int) byte {
	if r.view == nil {
		return []byte(nil)[i]
	}
	return r.view.At(i)
}

// ReadAt implements the io.ReaderAt interface. Unlike that of an os.File, an
// offset past the end is an error of its own, not io.EOF.
func (r *ReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if r.view == nil {
		return 0, errClosed
	}
	n, err := r.view.ReadAt(p, off)
	switch {
	case n > 0 && (err == nil || err == io.EOF):
		return n, err
	case errors.Is(err, os.ErrClosed):
		return n, errClosed
	case off < 0 || off > r.size:
		return 0, offsetError(off)
	}
	return n, err
}

// errClosed is os.ErrClosed to errors.Is.
var errClosed error = closedError{}

type closedError struct{}

func (closedError) Error() string { return "mmap: closed" }
func (closedError) Unwrap() error { return os.ErrClosed }

// An offsetError is fs.ErrInvalid to errors.Is.
type offsetError int64

func (e offsetError) Error() string { return fmt.Sprintf("mmap: invalid ReadAt offset %d", int64(e)) }
func (e offsetError) Unwrap() error { return fs.ErrInvalid }
