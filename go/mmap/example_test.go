//go:build cgo

package mmap_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	mapview "example.com/mapview/go"
	"example.com/mapview/go/mmap"
)

// A reader goes wherever an io.ReaderAt is wanted.
func ExampleOpen() {
	name := exampleFile("name,size\nfirst,1\n")
	defer os.Remove(name)
	r, err := mmap.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	_, err = io.Copy(os.Stdout, io.NewSectionReader(r, 10, int64(r.Len())-10))
	fmt.Println(err)
	// Output:
	// first,1
	// <nil>
}

// Somebody cuts the file while it is in use. With golang.org/x/exp/mmap this
// would be the end of the program.
func ExampleReaderAt_ReadAt() {
	name := exampleFile(string(make([]byte, 1<<20)))
	defer os.Remove(name)
	r, err := mmap.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.Truncate(name, 1<<16); err != nil {
		log.Fatal(err)
	}
	p := make([]byte, 1<<17)
	n, err := r.ReadAt(p, 0)
	fmt.Println(n, errors.Is(err, mapview.ErrTruncated))

	fmt.Println(r.Close())
	_, err = r.ReadAt(p, 0)
	fmt.Println(errors.Is(err, os.ErrClosed))
	// Output:
	// 65536 true
	// <nil>
	// true
}

func ExampleReaderAt_At() {
	name := exampleFile("\x7fELF")
	defer os.Remove(name)
	r, err := mmap.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	fmt.Println(r.Len() >= 4 && r.At(0) == 0x7f && r.At(1) == 'E' && r.At(2) == 'L' && r.At(3) == 'F')
	// Output: true
}

// exampleFile makes a file that holds content and returns its name.
func exampleFile(content string) string {
	f, err := os.CreateTemp("", "mmap")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(content); err != nil {
		log.Fatal(err)
	}
	return f.Name()
}
