//go:build cgo

package mapview_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log"
	"os"
	"syscall"

	mapview "example.com/mapview/go"
)

// A log of records in a file. Each is durable once Sync has returned, and can be
// used in place, also while others are appended.
func ExampleAppender() {
	name := exampleFile(nil)
	defer os.Remove(name)
	v, err := mapview.OpenFile(name, os.O_RDWR, 0, &mapview.Options{Reserve: 1 << 30})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	a, err := mapview.NewAppender(v, v.Size())
	if err != nil {
		log.Fatal(err)
	}
	off, err := a.Append([]byte("first record\n"))
	if err != nil {
		log.Fatal(err)
	}
	first := v.Bytes()[off:a.End()]
	for i := range 10_000 {
		if _, err := fmt.Fprintf(a, "record %d\n", i); err != nil {
			log.Fatal(err)
		}
	}
	if err := errors.Join(a.Sync(), a.Close()); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s%d bytes\n", first, v.Size())
	// Output:
	// first record
	// 118903 bytes
}

// After a crash the file may end with zeros, or with a part of a record. The end
// is found by a length and a checksum in front of each one.
func ExampleNewAppender() {
	type header struct{ Length, Sum uint32 }
	name := exampleFile(nil)
	defer os.Remove(name)
	v, err := mapview.OpenFile(name, os.O_RDWR, 0, &mapview.Options{Reserve: 1 << 20, FileSize: 4096})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()

	find := func() (end int64, records int) {
		for {
			h, err := mapview.Ptr[header](v, end)
			if err != nil || h.Length == 0 || int64(h.Length) > v.Size()-end-8 {
				return end, records
			}
			if crc32.ChecksumIEEE(v.Bytes()[end+8:][:h.Length]) != h.Sum {
				return end, records
			}
			end += 8 + int64(h.Length+7)&^7 // the next header is aligned
			records++
		}
	}
	add := func(a *mapview.Appender, text string) {
		record := make([]byte, 8+(len(text)+7)&^7)
		copy(record[8:], text)
		binary.NativeEndian.PutUint32(record, uint32(len(text)))
		binary.NativeEndian.PutUint32(record[4:], crc32.ChecksumIEEE([]byte(text)))
		if _, err := a.Append(record); err != nil {
			log.Fatal(err)
		}
	}

	goOn := func() *mapview.Appender {
		end, _ := find()
		err := v.Resize(end) // or records from before the crash might follow new ones
		if err != nil {
			log.Fatal(err)
		}
		a, err := mapview.NewAppender(v, end)
		if err != nil {
			log.Fatal(err)
		}
		return a
	}
	a := goOn()
	add(a, "one")
	add(a, "two, which is longer")
	add(a, "three")
	fmt.Println(find())
	v.WriteAt([]byte{'x'}, 30) // what a crash may do: the second is damaged, the third is not
	fmt.Println(find())
	add(goOn(), "2nd, of that length.")
	fmt.Println(find())
	// Output:
	// 64 3
	// 16 1
	// 48 2
}

// Append tells where a record lies, so that an index can point to it. A record
// that does not fit is not written at all.
func ExampleAppender_Append() {
	v, err := mapview.NewMemory(0, &mapview.Options{Reserve: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	a, err := mapview.NewAppender(v, 0)
	if err != nil {
		log.Fatal(err)
	}
	index := map[string]mapview.Range{}
	for _, word := range []string{"mapped", "files"} {
		off, err := a.Append([]byte(word))
		if err != nil {
			log.Fatal(err)
		}
		index[word] = mapview.Range{Offset: off, Length: int64(len(word))}
	}
	fmt.Println(index["files"], a.End())

	_, err = a.Append(make([]byte, 1<<20)) // more than the reservation has
	fmt.Println(errors.Is(err, syscall.ENOMEM), a.End())
	// Output:
	// {6 5} 11
	// true 11
}

// Sync once for many records: it makes all of them durable that are complete.
// The program that comes next goes on where this one has ended.
func ExampleAppender_Sync() {
	name := exampleFile(nil)
	defer os.Remove(name)
	for run := range 2 {
		v, err := mapview.OpenFile(name, os.O_RDWR, 0, &mapview.Options{Reserve: 1 << 30})
		if err != nil {
			log.Fatal(err)
		}
		a, err := mapview.NewAppender(v, v.Size())
		if err != nil {
			log.Fatal(err)
		}
		for i := range 3 {
			if _, err := fmt.Fprintf(a, "run %d, record %d\n", run, i); err != nil {
				log.Fatal(err)
			}
		}
		if err := errors.Join(a.Sync(), a.Close(), v.Close()); err != nil {
			log.Fatal(err)
		}
	}
	content, err := os.ReadFile(name)
	fmt.Printf("%s%v\n", content, err)
	// Output:
	// run 0, record 0
	// run 0, record 1
	// run 0, record 2
	// run 1, record 0
	// run 1, record 1
	// run 1, record 2
	// <nil>
}

// Who appends holds a lock on the file, for as long as it does: a second process
// is refused. What the one before has appended, a view that was open by then does
// not show yet: hence the Refresh.
func ExampleAppender_exclusive() {
	name := exampleFile(nil)
	defer os.Remove(name)
	open := func() *mapview.View {
		v, err := mapview.OpenFile(name, os.O_RDWR, 0, &mapview.Options{Reserve: 1 << 20})
		if err != nil {
			log.Fatal(err)
		}
		return v
	}
	begin := func(v *mapview.View) (*mapview.Appender, *os.File, error) {
		lock, err := v.File()
		if err != nil {
			return nil, nil, err
		}
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			err = v.Refresh() // with the lock, or it may be longer again
		}
		if err != nil {
			return nil, nil, errors.Join(err, lock.Close())
		}
		a, err := mapview.NewAppender(v, v.Size())
		if err != nil {
			return nil, nil, errors.Join(err, lock.Close())
		}
		return a, lock, nil
	}
	v, other := open(), open() // the other one elsewhere
	defer v.Close()
	defer other.Close()
	a, lock, err := begin(v)
	if err != nil {
		log.Fatal(err)
	}
	a.Append([]byte("one, "))
	_, _, err = begin(other)
	fmt.Println(errors.Is(err, syscall.EWOULDBLOCK))

	fmt.Println(a.Close(), lock.Close()) // gives the lock back, with the file at its length
	a, lock, err = begin(other)
	if err != nil {
		log.Fatal(err)
	}
	a.Append([]byte("two"))
	fmt.Println(a.Close(), lock.Close())
	content, err := os.ReadFile(name)
	fmt.Printf("%s %v\n", content, err)
	// Output:
	// true
	// <nil> <nil>
	// <nil> <nil>
	// one, two <nil>
}
