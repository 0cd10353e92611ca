//go:build cgo

package mmap_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"syscall"

	mapview "example.com/mapview/go"
	mmap "example.com/mapview/go/mmapgo"
)

func ExampleMap() {
	dir, _ := os.MkdirTemp("", "mmap")
	defer os.RemoveAll(dir)
	f, err := os.Create(filepath.Join(dir, "notes.txt"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	fmt.Fprint(f, "Hello, world")

	m, err := mmap.Map(f, mmap.RDWR, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Unmap()
	copy(m[7:], "there")
	if err := m[7:].Flush(); err != nil { // it is on the medium
		fmt.Println(err)
	}
	content, _ := os.ReadFile(f.Name())
	fmt.Printf("%s\n", content)
	// Output: Hello, there
}

func ExampleMMap_View() {
	f, err := os.CreateTemp("", "mmap")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(f.Name())
	defer f.Close()
	f.Truncate(1 << 16)
	m, err := mmap.Map(f, mmap.RDONLY, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Unmap()

	f.Truncate(0) // elsewhere, say
	sum := 0
	err = m.View().Do(func([]byte) error {
		for _, b := range m {
			sum += int(b)
		}
		return nil
	})
	fmt.Println(errors.Is(err, mapview.ErrTruncated))
	// Output: true
}

// A part of a file, from a page on, that stores do not reach.
func ExampleMapRegion() {
	f := exampleFile(3 * os.Getpagesize())
	defer os.Remove(f.Name())
	defer f.Close()
	m, err := mmap.MapRegion(f, 10, mmap.COPY, 0, int64(os.Getpagesize()))
	if err != nil {
		log.Fatal(err)
	}
	defer m.Unmap()
	m[0] = 'x'
	p := make([]byte, 1)
	_, err = f.ReadAt(p, int64(os.Getpagesize()))
	fmt.Println(len(m), m[0], p[0], err)
	// Output: 10 120 0 <nil>
}

// Flush tells when the bytes are durable: those of any part of the mapping.
func ExampleMMap_Flush() {
	f := exampleFile(100)
	defer os.Remove(f.Name())
	defer f.Close()
	m, err := mmap.Map(f, mmap.RDWR, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Unmap()
	copy(m[41:], "durable")
	fmt.Println(m[41:48].Flush())
	// Output: <nil>
}

// Keys are kept out of swap, as far as the limit of the process for that goes.
func ExampleMMap_Lock() {
	m, err := mmap.MapRegion(nil, 4096, mmap.RDWR, mmap.ANON, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Unmap()
	switch err := m.Lock(); {
	case err == nil:
		copy(m, "secret")
		fmt.Println(m.Unlock())
	case errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EPERM):
		fmt.Println("<nil>") // over the limit: see RLIMIT_MEMLOCK in setrlimit(2)
	default:
		fmt.Println(err)
	}
	// Output: <nil>
}

// A second Unmap is an error, and so is that of a part.
func ExampleMMap_Unmap() {
	f := exampleFile(100)
	defer os.Remove(f.Name())
	defer f.Close()
	m, err := mmap.Map(f, mmap.RDWR, 0)
	if err != nil {
		log.Fatal(err)
	}
	part, other := m[10:], m
	fmt.Println(part.Unmap() != nil)
	fmt.Println(m.Unmap(), m == nil)
	fmt.Println(other.Unmap() != nil)
	// Output:
	// true
	// <nil> true
	// true
}

// exampleFile makes a file of n zeros.
func exampleFile(n int) *os.File {
	f, err := os.CreateTemp("", "mmap")
	if err != nil {
		log.Fatal(err)
	}
	if err := f.Truncate(int64(n)); err != nil {
		log.Fatal(err)
	}
	return f
}
