//go:build cgo

package mapview

import (
	"io"
	"io/fs"
	"os"
)

// DirFS returns a file system for the tree of files below the directory dir, as
// os.DirFS does, but with its files mapped: what Open returns for a regular file
// is a *[File]. It implements [io/fs.StatFS], [io/fs.ReadFileFS],
// [io/fs.ReadDirFS] and, from Go 1.25 on, io/fs.ReadLinkFS. It may be used from
// any number of goroutines.
//
// What cannot be mapped, or has no bytes to map, is opened plainly and returned
// as a *os.File: directories, empty files, devices and the files of /proc. The
// result of ReadFile is a copy, which is read and not mapped. Names are checked
// by os.DirFS: none leads out of dir by "..", but a symbolic link may.
func DirFS(dir string) fs.FS { return dirFS{os.DirFS(dir)} }

type dirFS struct{ plain fs.FS }

func (d dirFS) Open(name string) (fs.File, error) {
	f, err := d.plain.Open(name)
	if err != nil {
		return nil, err
	}
	file, ok := f.(*os.File)
	if !ok {
		return f, nil
	}
	mapped := mapFile(file)
	if mapped == nil {
		return file, nil
	}
	file.Close()
	return mapped, nil
}

// mapFile returns f mapped, or nil if that cannot be done: then f must do.
func mapFile(f *os.File) *File {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil
	}
	// With a length, so that Stat and the bytes agree if it grows just now.
	v, err := Map(f, os.O_RDONLY, &Options{Length: info.Size()})
	if err != nil {
		return nil
	}
	return &File{v: v, info: info, c: Cursor{v: v}}
}

func (d dirFS) Stat(name string) (fs.FileInfo, error)      { return fs.Stat(d.plain, name) }
func (d dirFS) ReadFile(name string) ([]byte, error)       { return fs.ReadFile(d.plain, name) }
func (d dirFS) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(d.plain, name) }

// links is io/fs.ReadLinkFS, which Go 1.24 does not have.
type links interface {
	ReadLink(name string) (string, error)
	Lstat(name string) (fs.FileInfo, error)
}

func (d dirFS) ReadLink(name string) (string, error) {
	if l, ok := d.plain.(links); ok {
		return l.ReadLink(name)
	}
	return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
}

func (d dirFS) Lstat(name string) (fs.FileInfo, error) {
	if l, ok := d.plain.(links); ok {
		return l.Lstat(name)
	}
	return d.Stat(name)
}

// A File is an open file of a [DirFS]: a View of it, with the position that an
// [io/fs.File] has. It must be closed, which closes the View.
//
// It shows the file as long as it was when it was opened. A byte that somebody
// has cut off since is a [*FaultError], where a plain file would just end, or
// zero up to the end of its page. Read,
// Seek and WriteTo are for one goroutine at a time; all else may be called
// beside them.
type File struct {
	v    *View
	info fs.FileInfo
	c    Cursor
}

// View returns the view of the file, for use of its bytes in place. It is closed
// by the Close of the File.
func (f *File) View() *View { return f.v }

// Stat returns what the file was when it was opened.
func (f *File) Stat() (fs.FileInfo, error) {
	if f.v.size.Load() < 0 {
		return nil, f.v.closed("stat")
	}
	return f.info, nil
}

// Read is [Cursor.Read].
func (f *File) Read(p []byte) (int, error) { return f.c.Read(p) }

// ReadAt is [View.ReadAt].
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.v.ReadAt(p, off) }

// Seek is [Cursor.Seek].
func (f *File) Seek(offset int64, whence int) (int64, error) { return f.c.Seek(offset, whence) }

// WriteTo is [Cursor.WriteTo].
func (f *File) WriteTo(w io.Writer) (int64, error) { return f.c.WriteTo(w) }

// Close closes the View. It may be called at any time; a second Close returns
// nil.
func (f *File) Close() error { return f.v.Close() }
