//go:build cgo

package mapview_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"runtime"

	mapview "example.com/mapview/go"
)

// A counter in a file. Each run of the program finds the number where the last
// one has left it.
func Example() {
	dir, err := os.MkdirTemp("", "mapview")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	for range 2 { // two runs of a program
		runs, err := countRun(filepath.Join(dir, "counter"))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("runs:", runs)
	}
	// Output:
	// runs: 1
	// runs: 2
}

// countRun adds 1 to the number in the file, which it makes if there is none.
func countRun(name string) (runs uint64, err error) {
	opt := &mapview.Options{FileSize: 8}
	v, err := mapview.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600, opt)
	if err != nil {
		return 0, err
	}
	defer v.Close()
	counter, err := mapview.Ptr[uint64](v, 0)
	if err != nil {
		return 0, err
	}
	err = v.Do(func([]byte) error {
		*counter++
		runs = *counter
		return nil
	})
	return runs, errors.Join(err, v.Sync()) // synced: it is durable
}

// A View is an io.ReaderAt and an io.WriterAt.
func ExampleView_WriteAt() {
	v, err := mapview.Anonymous(64, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	if _, err := v.WriteAt([]byte("plain memory"), 10); err != nil {
		log.Fatal(err)
	}
	p := make([]byte, 6)
	if _, err := v.ReadAt(p, 16); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", p)
	// Output: memory
}

// A Cursor is for code that wants a file.
func ExampleView_Cursor() {
	v, err := mapview.Anonymous(64, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	c := v.Cursor()
	if _, err := fmt.Fprintf(c, "%d lines\n", 7); err != nil {
		log.Fatal(err)
	}
	if _, err := c.Seek(0, io.SeekStart); err != nil {
		log.Fatal(err)
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(line)
	// Output: 7 lines
}

// Somebody cuts the file while it is in use. Through a plain mapping this
// would be the end of the program.
func ExampleView_Do() {
	name := exampleFile(make([]byte, 1<<20))
	defer os.Remove(name)
	v, err := mapview.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	if err := os.Truncate(name, 0); err != nil {
		log.Fatal(err)
	}

	sum := 0
	err = v.Do(func(b []byte) error {
		for _, x := range b {
			sum += int(x)
		}
		return nil
	})
	var fault *mapview.FaultError
	if errors.As(err, &fault) {
		fmt.Printf("byte %d: %v\n", fault.Offset, fault.Err)
	}
	// Output: byte 0: the file ends before this byte
}

// A view grows in place: slices stay where they are.
func ExampleView_Resize() {
	name := exampleFile([]byte("grow"))
	defer os.Remove(name)
	v, err := mapview.OpenFile(name, os.O_RDWR, 0, &mapview.Options{Reserve: 1 << 30})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	before := &v.Bytes()[0]
	if err := v.Resize(1 << 20); err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.Size(), before == &v.Bytes()[0])
	// Output: 1048576 true
}

// A file of records, used in place.
func ExampleSlice() {
	type point struct{ X, Y int32 }
	name := exampleFile(make([]byte, 100*8))
	defer os.Remove(name)
	v, err := mapview.OpenFile(name, os.O_RDWR, 0, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	points, err := mapview.Slice[point](v, 0, 100)
	if err != nil {
		log.Fatal(err)
	}
	points[99] = point{X: 3, Y: 4}
	fmt.Println(len(points), points[99])
	// Output: 100 {3 4}
}

// Two processes share an integer in memory that has no name. A plain variable
// is one in each process, and what the second does to its own is not seen.
func ExampleNewMemory() {
	shared, err := mapview.NewMemory(4, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer shared.Close()
	number, err := mapview.Ptr[int32](shared, 0)
	if err != nil {
		log.Fatal(err)
	}
	*number, plainInt = 41, 41

	f, err := shared.File()
	if err != nil {
		log.Fatal(err)
	}
	child := secondProcess("increment") // runs childIncrement
	child.ExtraFiles = []*os.File{f}    // its descriptor 3
	err = child.Run()
	f.Close()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("shared:", *number, "plain:", plainInt)
	// Output: shared: 42 plain: 41
}

var plainInt int32

// childIncrement adds 1 to the integer in the memory that it got, and to the
// plain one.
func childIncrement([]string) error {
	v, err := mapview.Map(os.NewFile(3, "shared"), os.O_RDWR, nil)
	if err != nil {
		return err
	}
	defer v.Close()
	number, err := mapview.Ptr[int32](v, 0)
	if err != nil {
		return err
	}
	*number++
	plainInt++
	return nil
}

// An integer is kept in a file through a typed pointer, synced and closed. A
// second process reads it back.
func ExamplePtr() {
	name := exampleFile(nil)
	defer os.Remove(name)
	v, err := mapview.OpenFile(name, os.O_RDWR, 0, &mapview.Options{FileSize: 8})
	if err != nil {
		log.Fatal(err)
	}
	number, err := mapview.Ptr[int64](v, 0)
	if err != nil {
		log.Fatal(err)
	}
	*number = 20260101
	if err := errors.Join(v.Sync(), v.Close()); err != nil {
		log.Fatal(err)
	}

	out, err := secondProcess("print", name).Output() // runs childPrint
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("the second process reads %s\n", out)
	// Output: the second process reads 20260101
}

// childPrint prints the integer at the beginning of a file.
func childPrint(args []string) error {
	v, err := mapview.Open(args[0])
	if err != nil {
		return err
	}
	defer v.Close()
	number, err := mapview.Ptr[int64](v, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Print(*number)
	return err
}

// A private read-only view, printed byte by byte. The page that it lies in
// goes on with zeros behind the file's end; the view does not.
func ExampleView_At() {
	name := exampleFile([]byte("mmap\n"))
	defer os.Remove(name)
	v, err := mapview.OpenFile(name, os.O_RDONLY, 0, &mapview.Options{Private: true})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	for i := range v.Len() {
		fmt.Printf("%q ", v.At(i))
	}
	// Output: 'm' 'm' 'a' 'p' '\n'
}

// A file of 1 TiB, nearly all of it a hole, is shown as a whole and touched at
// both ends. Memory is taken for what is touched.
func Example_sparse() {
	const size = 1 << 40
	name := exampleFile(nil)
	defer os.Remove(name)
	if err := os.Truncate(name, size); err != nil {
		log.Fatal(err)
	}
	before := resident()
	v, err := mapview.OpenFile(name, os.O_RDWR, 0, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	err = v.Do(func(b []byte) error {
		b[0], b[len(b)-1] = 'a', 'z'
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%c%c at both ends of %d bytes\n", v.At(0), v.At(size-1), v.Size())
	fmt.Println("less than 16 MiB:", resident()-before < 16<<20)
	// Output:
	// az at both ends of 1099511627776 bytes
	// less than 16 MiB: true
}

// resident returns how much memory this process has in use.
func resident() int64 {
	runtime.GC()
	n, err := status("VmRSS")
	if err != nil {
		log.Fatal(err)
	}
	return n
}

// exampleFile makes a file that holds content and returns its name.
func exampleFile(content []byte) string {
	f, err := os.CreateTemp("", "mapview")
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(content); err != nil {
		log.Fatal(err)
	}
	return f.Name()
}
