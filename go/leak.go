//go:build cgo

package mapview

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// A Leak is a View that has become garbage without Close after Bytes, Slice or
// Ptr were called on it. Nobody can close it any more, and since their results
// may still be in use it is never unmapped.
type Leak struct {
	Name   string          // of the View
	Bytes  int64           // of address space that it keeps
	Opened []runtime.Frame // the calls that opened it, the innermost first; outer ones are left out
}

// String tells the name of the view, and where it was opened.
func (l Leak) String() string {
	if len(l.Opened) == 0 {
		return l.Name
	}
	at := l.Opened[0]
	return fmt.Sprintf("%s, opened by %s at %s:%d", l.Name, at.Function, at.File, at.Line)
}

// Leaks returns what has leaked so far, in the order in which the garbage
// collector found it. What it has not found yet is not among them: a program
// that looks for leaks calls runtime.GC first, and again a moment later.
func Leaks() []Leak {
	books.Lock()
	lives := slices.Clone(books.leaked)
	books.Unlock()
	leaks := make([]Leak, len(lives))
	for i, l := range lives {
		leaks[i] = Leak{Name: l.name, Bytes: l.bytes, Opened: l.opened.frames()}
	}
	return leaks
}

// callers are noted by every open, which they make a twelfth longer: so they
// are few. What they are called is found out when somebody asks.
type callers [5]uintptr

func (c *callers) record() {
	const skip = 3 // runtime.Callers, record and open
	runtime.Callers(skip, c[:])
}

// frames leaves out those of this package, which the others have called.
func (c *callers) frames() (list []runtime.Frame) {
	n := slices.Index(c[:], 0)
	if n < 0 {
		n = len(c)
	}
	if n == 0 {
		return nil
	}
	for frames, more := runtime.CallersFrames(c[:n]), true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		if f.PC != 0 && (len(list) > 0 || !isOurs(f.Function)) {
			list = append(list, f)
		}
	}
	return list
}

var ours = func() string {
	pc, _, _, _ := runtime.Caller(0)
	name := runtime.FuncForPC(pc).Name() // example.com/mapview/go.init.func1
	slash := strings.LastIndexByte(name, '/') + 1
	return name[:slash+strings.IndexByte(name[slash:], '.')+1]
}()

// isOurs knows the functions of this package, not those of go/mmap: who called
// its Open is of more interest, but it is one frame further.
func isOurs(function string) bool { return strings.HasPrefix(function, ours) }
