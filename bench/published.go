// published.go holds the notes' benchmark as it was published, its bug with it.
//
// Close stands inside the inner loop. So the first ReadAt of the first op reads
// a page, and everything that the benchmark reports is the price of a "closed"
// error, 500 times an op. The other half reads on after the end of the file:
// its first op reads 500 pages, every later one gets 500 times io.EOF. Neither
// measures a read. These variants keep that, count what came back, and the run
// fails if it is not so.

package main

import (
	"fmt"
	"os"

	dropin "example.com/mapview/go/mmap"
	expmmap "golang.org/x/exp/mmap"
)

// A tally counts what the reads of a published variant came back with.
type tally struct {
	reads  int // that returned any data
	errors int
	first  int // reads of the very first op that returned data
}

func (t *tally) count(n int, err error) {
	if n > 0 {
		t.reads++
	}
	if err != nil {
		t.errors++
	}
}

func openPublished(path string) (*block, error) {
	c := &publishedCheck{buf: make([]byte, 4096)}
	title := "as published: 500 reads of 4 KiB, of which all but the first find the mapping closed, or the file at its end"
	return openBlock("Published", title, path, len(c.buf), c, expPublished,
		expPublished, dropinPublished, filePublished)
}

func expPublished(r *resources, path string, _ int) ([]variant, error) {
	m, err := expmmap.Open(path)
	if err != nil {
		return nil, err
	}
	r.closeLater(m.Close)
	t := &tally{first: -1}
	return []variant{{impl: "exp-mmap", op: "ReadAt,Close", tally: t, pass: func(buf []byte, _ int) error {
		for i := range accesses {
			n, err := m.ReadAt(buf, int64(i)*4096)
			t.count(n, err)
			m.Close()
		}
		return nil
	}}}, nil
}

func dropinPublished(r *resources, path string, _ int) ([]variant, error) {
	m, err := dropin.Open(path)
	if err != nil {
		return nil, err
	}
	r.closeLater(m.Close)
	t := &tally{first: -1}
	return []variant{{impl: "mapview-mmap", op: "ReadAt,Close", tally: t, pass: func(buf []byte, _ int) error {
		for i := range accesses {
			n, err := m.ReadAt(buf, int64(i)*4096)
			t.count(n, err)
			m.Close()
		}
		return nil
	}}}, nil
}

func filePublished(r *resources, path string, _ int) ([]variant, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r.closeLater(f.Close)
	t := &tally{first: -1}
	return []variant{{impl: "os.File", op: "Read", tally: t, pass: func(buf []byte, _ int) error {
		for range accesses {
			n, err := f.Read(buf)
			t.count(n, err)
		}
		return nil
	}}}, nil
}

// A publishedCheck wants the bug to be there.
type publishedCheck struct{ buf []byte }

func (c *publishedCheck) buffers() [][]byte { return [][]byte{c.buf} }

// whole runs an op. Of the very first one a mapping gives one page, and the
// file all of them; after it there is nothing left.
func (c *publishedCheck) whole(v *variant) error {
	c.before(v)
	if err := v.pass(c.buf, 0); err != nil {
		return err
	}
	if v.tally.first >= 0 { // not the first
		return c.after(v, 1)
	}
	want := 1
	if v.impl == "os.File" {
		want = accesses
	}
	v.tally.first = v.tally.reads
	if v.tally.reads != want || v.tally.errors != accesses-want {
		return fmt.Errorf("the first op read %d times and failed %d times; expected %d and %d",
			v.tally.reads, v.tally.errors, want, accesses-want)
	}
	return nil
}

func (c *publishedCheck) before(v *variant) { v.tally.reads, v.tally.errors = 0, 0 }

func (c *publishedCheck) after(v *variant, ops int) error {
	if v.tally.reads != 0 || v.tally.errors != ops*accesses {
		return fmt.Errorf("%d reads returned data and %d failed; expected 0 and %d",
			v.tally.reads, v.tally.errors, ops*accesses)
	}
	return nil
}
