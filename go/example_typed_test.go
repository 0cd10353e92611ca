//go:build cgo

package mapview_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"sort"
	"sync/atomic"

	mapview "example.com/mapview/go"
)

// A number in a file that goroutines, and other processes, count on together.
func ExamplePtr_atomic() {
	name := exampleFile(nil)
	defer os.Remove(name)
	v, err := mapview.OpenFile(name, os.O_RDWR, 0, &mapview.Options{FileSize: 8})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	counter, err := mapview.Ptr[atomic.Uint64](v, 0)
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan bool)
	for range 4 {
		go func() {
			for range 1000 {
				counter.Add(1)
			}
			done <- true
		}()
	}
	for range 4 {
		<-done
	}
	fmt.Println(counter.Load())
	// Output: 4000
}

// A ring that keeps the last records in a file of a fixed size: a header that
// counts all that ever came, and the records behind it.
func ExampleRecords() {
	type sample struct{ Time, Value int64 }
	type header struct {
		Count atomic.Uint64
		_     [56]byte // a cache line of its own
	}
	name := exampleFile(nil)
	defer os.Remove(name)
	v, err := mapview.OpenFile(name, os.O_RDWR, 0, &mapview.Options{FileSize: 64 + 4*16})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	head, err := mapview.Ptr[header](v, 0)
	if err != nil {
		log.Fatal(err)
	}
	ring, err := mapview.NewRecords[sample](v, 64)
	if err != nil {
		log.Fatal(err)
	}

	for i := range int64(6) {
		next := head.Count.Load()
		*ring.At(int(next) % ring.Len()) = sample{Time: i, Value: i * i}
		head.Count.Store(next + 1) // last: a reader sees the whole record
	}

	for i, s := range ring.All() {
		fmt.Println(i, *s)
	}
	fmt.Println("of", head.Count.Load())
	// Output:
	// 0 {4 16}
	// 1 {5 25}
	// 2 {2 4}
	// 3 {3 9}
	// of 6
}

// All goes through the values in place: what is stored through a pointer is in
// the file.
func ExampleRecords_All() {
	type account struct{ Number, Cents int64 }
	name := exampleFile(nil)
	defer os.Remove(name)
	v, err := mapview.OpenFile(name, os.O_RDWR, 0, &mapview.Options{FileSize: 3 * 16})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	accounts, err := mapview.NewRecords[account](v, 0)
	if err != nil {
		log.Fatal(err)
	}
	total := int64(0)
	err = v.Do(func([]byte) error { // so that a fault is an error
		for i, a := range accounts.All() {
			*a = account{Number: int64(i), Cents: 100}
		}
		for _, a := range accounts.All() {
			total += a.Cents
		}
		return nil
	})
	fmt.Println(total, err)
	// Output: 300 <nil>
}

// Records follow a view that grows, and need not be asked for again.
func ExampleNewRecords() {
	v, err := mapview.NewMemory(0, &mapview.Options{Reserve: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	numbers, err := mapview.NewRecords[uint32](v, 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(numbers.Len())
	if err := v.Resize(40); err != nil {
		log.Fatal(err)
	}
	*numbers.At(9) = 7
	fmt.Println(numbers.Len(), *numbers.At(9))

	_, err = mapview.NewRecords[struct{ Name string }](v, 0)
	fmt.Println(err)
	// Output:
	// 0
	// 10 7
	// records [memory]: struct { Name string }.Name is a string, which holds more than its bytes
}

// An index that one process builds and others search, each in place: nothing is
// read in, and all share the memory.
func Example_index() {
	name := exampleFile(nil)
	defer os.Remove(name)
	const entries = 1000
	v, err := mapview.OpenFile(name, os.O_RDWR, 0, &mapview.Options{FileSize: entries * 16})
	if err != nil {
		log.Fatal(err)
	}
	index, err := mapview.NewRecords[indexEntry](v, 0)
	if err != nil {
		log.Fatal(err)
	}
	for i, entry := range index.All() {
		*entry = indexEntry{Key: uint64(i * 10), Offset: int64(i * 4096)}
	}
	if err := errors.Join(v.Sync(), v.Close()); err != nil {
		log.Fatal(err)
	}

	for _, key := range []string{"70", "71"} {
		out, err := secondProcess("search", name, key).Output() // runs childSearch
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s", out)
	}
	// Output:
	// 70: at 28672
	// 71: not there
}

type indexEntry struct {
	Key    uint64
	Offset int64
}

func childSearch(args []string) error {
	var key uint64
	if _, err := fmt.Sscan(args[1], &key); err != nil {
		return err
	}
	v, err := mapview.Open(args[0])
	if err != nil {
		return err
	}
	defer v.Close()
	index, err := mapview.NewRecords[indexEntry](v, 0)
	if err != nil {
		return err
	}
	return v.Do(func([]byte) error {
		i := sort.Search(index.Len(), func(i int) bool { return index.At(i).Key >= key })
		if i < index.Len() && index.At(i).Key == key {
			_, err := fmt.Printf("%d: at %d\n", key, index.At(i).Offset)
			return err
		}
		_, err := fmt.Printf("%d: not there\n", key)
		return err
	})
}
