//go:build cgo

package mapview_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"runtime"
	"syscall"

	mapview "example.com/mapview/go"
)

// A file is read without a copy of it in Go's heap.
func ExampleOpen() {
	name := exampleFile([]byte("one\ntwo\nthree\n"))
	defer os.Remove(name)
	v, err := mapview.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	lines := 0
	err = v.Do(func(b []byte) error {
		for _, c := range b {
			if c == '\n' {
				lines++
			}
		}
		return nil
	})
	fmt.Println(lines, "lines in", v.Len(), "bytes,", err)

	_, err = mapview.Open(name + ".none")
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	// Output:
	// 3 lines in 14 bytes, <nil>
	// true
}

// A new file gets its length, and its blocks, when it is opened.
func ExampleOpenFile() {
	name := exampleFile(nil)
	os.Remove(name)
	defer os.Remove(name)
	opt := &mapview.Options{
		FileSize: 1 << 20, // long enough from the beginning
		Reserve:  1 << 30, // and as long as it may get
		Advice:   mapview.AdviceRandom,
	}
	v, err := mapview.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600, opt)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.Size(), v.Name() == name)
	if err := v.Close(); err != nil {
		log.Fatal(err)
	}
	_, err = v.WriteAt([]byte("too late"), 0)
	fmt.Println(errors.Is(err, os.ErrClosed))
	// Output:
	// 1048576 true
	// true
}

// A part of a file that is open already, as it is here and now: what is stored
// in a private view does not reach the file.
func ExampleMap() {
	name := exampleFile([]byte("header, body and tail"))
	defer os.Remove(name)
	f, err := os.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	v, err := mapview.Map(f, os.O_RDWR, &mapview.Options{Offset: 8, Length: 4, Private: true})
	f.Close() // the view does not need it
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	fmt.Printf("%s\n", v.Bytes())
	v.Bytes()[0] = 'B'
	content, err := os.ReadFile(name)
	fmt.Printf("%s, %s, %v\n", v.Bytes(), content, err)
	// Output:
	// body
	// Body, header, body and tail, <nil>
}

// Memory that Go's garbage collector neither moves, scans nor counts.
func ExampleAnonymous() {
	v, err := mapview.Anonymous(1<<30, nil) // taken as it is touched
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	table, err := mapview.Slice[uint32](v, 0, 1<<28)
	if err != nil {
		log.Fatal(err)
	}
	table[1<<28-1] = 5
	fmt.Println(len(table), table[0], table[1<<28-1])
	// Output: 268435456 0 5
}

func ExampleView_ReadAt() {
	name := exampleFile([]byte("0123456789"))
	defer os.Remove(name)
	v, err := mapview.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	p := make([]byte, 4)
	n, err := v.ReadAt(p, 3)
	fmt.Printf("%s %v\n", p[:n], err)
	n, err = v.ReadAt(p, 8)
	fmt.Printf("%s %v\n", p[:n], err == io.EOF)
	// Output:
	// 3456 <nil>
	// 89 true
}

// A slice of the view is the file.
func ExampleView_Bytes() {
	name := exampleFile([]byte("cat"))
	defer os.Remove(name)
	v, err := mapview.OpenFile(name, os.O_RDWR, 0, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	copy(v.Bytes(), "dog")
	content, err := os.ReadFile(name)
	fmt.Printf("%s %v\n", content, err)
	// Output: dog <nil>
}

// Another process appends to the file, which the view follows when it is told.
func ExampleView_Refresh() {
	name := exampleFile([]byte("first\n"))
	defer os.Remove(name)
	v, err := mapview.OpenFile(name, os.O_RDONLY, 0, &mapview.Options{Reserve: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintln(f, "second")
	f.Close()

	fmt.Println(v.Len())
	if err := v.Refresh(); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d %q\n", v.Len(), v.Bytes())
	// Output:
	// 6
	// 13 "first\nsecond\n"
}

// What was stored is durable once Sync has returned nil.
func ExampleView_Sync() {
	name := exampleFile(make([]byte, 100))
	defer os.Remove(name)
	v, err := mapview.OpenFile(name, os.O_RDWR, 0, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	v.WriteAt([]byte("kept"), 0)
	fmt.Println(v.Sync())

	if err := os.Truncate(name, 2); err != nil { // somebody else
		log.Fatal(err)
	}
	err = v.Sync()
	fmt.Println(errors.Is(err, mapview.ErrTruncated))
	// Output:
	// <nil>
	// true
}

// The data first, and when that is durable the mark that makes it valid.
func ExampleView_SyncRange() {
	name := exampleFile(make([]byte, 8192))
	defer os.Remove(name)
	v, err := mapview.OpenFile(name, os.O_RDWR, 0, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	v.WriteAt([]byte("the data"), 4096)
	if err := v.SyncRange(4096, mapview.ToEnd, mapview.SyncData); err != nil {
		log.Fatal(err)
	}
	v.WriteAt([]byte{1}, 0)
	if err := v.SyncRange(0, 1, mapview.SyncData); err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.At(0))
	// Output: 1
}

// What will be needed soon is brought in, in a call that waits for the disk as
// a system call does: the loads that follow need not.
func ExampleView_Prefault() {
	name := exampleFile(bytes.Repeat([]byte{1}, 4<<20))
	defer os.Remove(name)
	v, err := mapview.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	if err := v.Prefault(1<<20, 1<<20, mapview.AccessRead); err != nil {
		log.Fatal(err)
	}
	sum := 0
	err = v.Do(func(b []byte) error {
		for _, x := range b[1<<20 : 2<<20] {
			sum += int(x)
		}
		return nil
	})
	fmt.Println(sum, err)
	// Output: 1048576 <nil>
}

// A thousand places are asked for at once, and then read one after the other,
// while the disk brings in the next.
func ExampleView_Prefetch() {
	name := exampleFile(bytes.Repeat([]byte{1}, 4<<20))
	defer os.Remove(name)
	v, err := mapview.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	var places []mapview.Range
	for off := int64(0); off < v.Size(); off += 4 << 10 {
		places = append(places, mapview.Range{Offset: off, Length: 100})
	}
	if err := v.Prefetch(places...); err != nil {
		log.Fatal(err)
	}
	sum, p := 0, make([]byte, 100)
	for _, r := range places {
		if _, err := v.ReadAt(p, r.Offset); err != nil {
			log.Fatal(err)
		}
		sum += int(p[99])
	}
	fmt.Println(sum)
	// Output: 1024
}

// An index that is searched at random, and the data behind it that is read once
// from its beginning to its end. No advice changes what the bytes are.
func ExampleView_Advise() {
	const index = 1 << 20
	name := exampleFile(make([]byte, 4<<20))
	defer os.Remove(name)
	v, err := mapview.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	err = errors.Join(
		v.Advise(0, index, mapview.AdviceRandom),
		v.Advise(index, mapview.ToEnd, mapview.AdviceSequential),
	)
	fmt.Println(err)

	err = v.Advise(0, 5<<20, mapview.AdviceRandom) // more than there is
	fmt.Println(errors.Is(err, fs.ErrInvalid))
	// Output:
	// <nil>
	// true
}

// What must never wait for the disk again stays in memory, as far as the limit of
// the process for that goes.
func ExampleView_Pin() {
	v, err := mapview.Anonymous(64<<10, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	switch err := v.Pin(0, 4096); {
	case err == nil:
		fmt.Println(v.Unpin(0, 4096))
	case errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EPERM):
		fmt.Println("<nil>") // over the limit: see RLIMIT_MEMLOCK in setrlimit(2)
	default:
		fmt.Println(err)
	}
	// Output: <nil>
}

// Close may be called beside every access: those that come later, and those that
// are running, return an error.
func ExampleView_Close() {
	v, err := mapview.Anonymous(1<<20, nil)
	if err != nil {
		log.Fatal(err)
	}
	stopped := make(chan error)
	go func() {
		for p := make([]byte, 4096); ; {
			if _, err := v.ReadAt(p, 0); err != nil {
				stopped <- err
				return
			}
		}
	}()
	fmt.Println(v.Close())
	fmt.Println(errors.Is(<-stopped, os.ErrClosed))
	fmt.Println(v.Close(), v.Size(), v.Bytes() == nil)
	// Output:
	// <nil>
	// true
	// <nil> 0 true
}

// What a View cannot do, a file can: here, to be cut by somebody else.
func ExampleView_File() {
	v, err := mapview.NewMemory(8192, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	v.WriteAt([]byte("shared"), 0)
	f, err := v.File()
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, 6)
	n, err := f.ReadAt(p, 0)
	fmt.Printf("%s %v\n", p[:n], err)

	if err := f.Truncate(4096); err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.Refresh(), v.Size())
	// Output:
	// shared <nil>
	// <nil> 4096
}

// The file was cut inside a page: the bytes behind its end read as zero, which
// only Probe tells from zeros of the file.
func ExampleView_Probe() {
	name := exampleFile(make([]byte, 1000))
	defer os.Remove(name)
	v, err := mapview.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	if err := os.Truncate(name, 600); err != nil {
		log.Fatal(err)
	}
	err = v.Probe(0, mapview.ToEnd, mapview.AccessRead)
	var fault *mapview.FaultError
	if errors.As(err, &fault) {
		fmt.Println("byte", fault.Offset, fault.Err)
	}
	// Output: byte 600 the file ends before this byte
}

// The middle of a file becomes a hole.
func ExampleView_Discard() {
	name := exampleFile(make([]byte, 1<<20))
	defer os.Remove(name)
	v, err := mapview.OpenFile(name, os.O_RDWR, 0, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	v.WriteAt([]byte("old"), 4096)
	err = v.Discard(4096, 1<<19)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		fmt.Println("0 1048576") // this file system has no holes
		return
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.At(4096), v.Size())
	// Output: 0 1048576
}

// Keys are kept out of swap and, while they are not used, out of reach.
func ExampleView_Protect() {
	v, err := mapview.Anonymous(64, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	if err := v.Pin(0, mapview.ToEnd); err != nil && !errors.Is(err, syscall.ENOMEM) && !errors.Is(err, syscall.EPERM) {
		log.Fatal(err)
	}
	defer v.Unpin(0, mapview.ToEnd)
	v.WriteAt([]byte("secret"), 0)
	if err := v.Protect(0, mapview.ToEnd, 0); err != nil {
		log.Fatal(err)
	}
	_, err = v.ReadAt(make([]byte, 6), 0)
	fmt.Println(errors.Is(err, fs.ErrPermission))

	if err := v.Protect(0, mapview.ToEnd, mapview.AccessRead|mapview.AccessWrite); err != nil {
		log.Fatal(err)
	}
	p := make([]byte, 6)
	_, err = v.ReadAt(p, 0)
	fmt.Printf("%s %v\n", p, err)
	// Output:
	// true
	// secret <nil>
}

// A disk that is full, a file that was cut and a device that fails are errors of
// the copy that met them.
func ExampleFaultError() {
	name := exampleFile(make([]byte, 1<<20))
	defer os.Remove(name)
	v, err := mapview.OpenFile(name, os.O_RDWR, 0, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	if err := os.Truncate(name, 1<<16); err != nil {
		log.Fatal(err)
	}
	n, err := v.WriteAt(make([]byte, 1<<20), 0)
	var fault *mapview.FaultError
	switch {
	case errors.Is(err, mapview.ErrNoSpace):
		fmt.Println("the disk is full")
	case errors.As(err, &fault):
		fmt.Println(n, fault.Op, fault.Offset, fault.Err)
	}
	// Output: 65536 write 65536 the file ends before this byte
}

// A test sees to it that every View was closed.
func ExampleLive() {
	before := mapview.Live()
	v, err := mapview.Anonymous(1, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(mapview.Live() - before)
	v.Close()
	fmt.Println(mapview.Live() - before)
	// Output:
	// 1
	// 0
}

// At the end of a program, or of a test: what was lent and never closed.
func ExampleLeaks() {
	runtime.GC()
	var leaks []mapview.Leak = mapview.Leaks()
	for _, l := range leaks {
		fmt.Println(l)
	}
}

// A Cursor goes where it is told and reads, writes and unreads bytes there.
func ExampleCursor() {
	v, err := mapview.Anonymous(10, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	c := v.Cursor()
	fmt.Fprint(c, "0123")
	if _, err := c.Seek(-3, io.SeekEnd); err != nil {
		log.Fatal(err)
	}
	c.WriteByte('7')
	c.UnreadByte()
	b, err := c.ReadByte()
	fmt.Printf("%c %v\n", b, err)
	n, err := c.Write([]byte("89abc"))
	fmt.Println(n, err)
	n, err = c.Read(make([]byte, 1))
	fmt.Println(n, err)
	// Output:
	// 7 <nil>
	// 2 short write
	// 0 EOF
}
