//go:build cgo

// Package faults holds the fault matrix: every fault that a view's file can
// have, under every way to access the view, on every file system at hand. It
// runs under tests/faults/mounts.sh.
package faults

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	mapview "example.com/mapview/go"
)

func TestMatrix(t *testing.T) {
	eachPlace(t, func(t *testing.T, p place) {
		m := newTable(p)
		for _, r := range rows() {
			t.Run(r.name, func(t *testing.T) { runRow(t, p, r, m) })
		}
		for _, r := range besides {
			t.Run(r.name, func(t *testing.T) { runBeside(t, p, r, m) })
		}
		t.Log(m)
		for _, hole := range m.missing() {
			t.Errorf("%s was not run", hole)
		}
	})
}

func runRow(t *testing.T, p place, r row, m *table) {
	var cells []*cell
	for i, c := range columns {
		if r.absent != nil {
			if why := r.absent(t, p, c); why != "" {
				m.cannotExist(r.name, c.name, why)
				continue
			}
		}
		cells = append(cells, newCell(t, p, r, i))
	}
	if len(cells) == 0 {
		return
	}
	struck := false
	t.Cleanup(func() {
		for _, c := range cells {
			c.v.Close()
			c.f.Close()
			os.Remove(c.name)
			os.Remove(c.name + ".copy")
		}
		if struck { // and something else went wrong
			r.heal(t, p, nil)
		}
	})
	struck = true
	r.strike(t, p, cells)
	for _, c := range cells {
		t.Run(c.column.name, func(t *testing.T) {
			m.run(t, r.name, c.column.name, func() string { return c.underFault(t, p, r) })
		})
	}
	r.heal(t, p, cells)
	struck = false
	for _, c := range cells {
		t.Run(c.column.name+" afterwards", func(t *testing.T) {
			c.afterwards(t, p, r)
			if t.Failed() {
				m.set(r.name, c.column.name, "FAILED")
			}
		})
	}
}

// newCell makes the file and the view of column i.
func newCell(t *testing.T, p place, r row, i int) *cell {
	t.Helper()
	c := &cell{column: columns[i], name: p.path(fmt.Sprintf("file%d", i))}
	create(t, c.name, content(), r.holes...)
	open := r.open
	if open == nil {
		open = openWith(os.O_RDWR, nil)
	}
	open(t, p, c)
	if r.dirty {
		if _, err := c.v.WriteAt(others(), 0); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// underFault accesses the cell's view and returns a word for what came of it.
func (c *cell) underFault(t *testing.T, p place, r row) string {
	want := r.want(p, c.column)
	buf := make([]byte, r.to-r.from)
	if c.column.store {
		copy(buf, numbered(50)[r.from:r.to])
	}
	n, err := c.column.move(c.v, buf, r.from, nil)
	checkEnd(t, c.column, r.from, n, len(buf), err, want)
	if c.column.store {
		c.wantStored(t, r.from, buf[:n])
	} else if !bytes.Equal(buf[:n], want.bytes[min(r.from, len(want.bytes)):][:n]) {
		t.Errorf("the %d bytes are others than those of the file", n)
	}
	c.checkSync(t, r.sync)
	return wordFor(c.column, buf[:n], err)
}

// checkEnd checks where and how an access ended.
func checkEnd(t *testing.T, c column, from, n, all int, err error, want expectation) {
	t.Helper()
	if len(want.ends) == 0 {
		if n != all || err != nil {
			t.Errorf("%d bytes of %d, %v", n, all, err)
		}
		return
	}
	ended := false
	for _, end := range want.ends {
		ended = ended || from+n == end
	}
	if !ended {
		t.Errorf("it ended at byte %d, not at %v: %v", from+n, want.ends, err)
	}
	if err == nil {
		t.Fatalf("no error after %d bytes", n)
	}
	if c.op != "" && !errors.Is(err, want.cause) {
		t.Errorf("%v is not %v", err, want.cause)
	}
	if want.plain {
		if path, ok := err.(*fs.PathError); !ok || path.Op != c.op {
			t.Errorf("%v is a %T", err, err)
		}
		return
	}
	if offset := offsetOf(err); offset != int64(from+n) {
		t.Errorf("%v: the byte is not %d", err, from+n)
	}
	var fault *mapview.FaultError
	if c.op != "" && (!errors.As(err, &fault) || fault.Op != c.op || fault.Path == "") {
		t.Errorf("%v (%T) is not a FaultError of %q", err, err, c.op)
	}
}

// wantStored checks that what was stored is there: in the file, as far as it
// goes, or in the process alone.
func (c *cell) wantStored(t *testing.T, off int, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	n, _ := c.f.ReadAt(got, int64(off))
	if c.private {
		n, _ = c.v.ReadAt(got, int64(off))
	}
	if !bytes.Equal(got[:n], want[:n]) {
		t.Errorf("what was stored is not there")
	}
}

func (c *cell) checkSync(t *testing.T, want error) {
	t.Helper()
	if err := c.v.Sync(); want == nil && err != nil || want != nil && !errors.Is(err, want) {
		t.Errorf("Sync: %v, not %v", err, want)
	}
}

// afterwards: the cause is gone, and the view can be used as if nothing had
// been.
func (c *cell) afterwards(t *testing.T, p place, r row) {
	t.Helper()
	if c.column.store && r.want(p, c.column).cause == fs.ErrPermission {
		return
	}
	buf := others()[r.from:r.to]
	n, err := c.column.move(c.v, buf, r.from, nil)
	if n != len(buf) || err != nil {
		t.Errorf("%d bytes of %d, %v", n, len(buf), err)
		return
	}
	c.wantStored(t, r.from, buf)
	if !c.private {
		c.checkSync(t, nil)
	}
}

// wordFor is what the table shows of an access.
func wordFor(c column, moved []byte, err error) string {
	var slice *sliceFault
	switch {
	case errors.As(err, &slice):
		return "fault"
	case errors.Is(err, mapview.ErrTruncated):
		return "cut"
	case errors.Is(err, mapview.ErrNoSpace):
		return "full"
	case errors.Is(err, syscall.EIO):
		return "EIO"
	case errors.Is(err, fs.ErrPermission):
		return "denied"
	case errors.Is(err, os.ErrClosed):
		return "closed"
	case err != nil:
		return "end"
	case c.store:
		return "stored"
	case bytes.IndexByte(moved, 0) >= 0:
		return "zeros"
	}
	return "data"
}

// A table is the part of the matrix that a place is.
type table struct {
	place   place
	words   map[[2]string]string
	reasons []string
}

func newTable(p place) *table { return &table{place: p, words: map[[2]string]string{}} }

func (m *table) set(row, column, word string) { m.words[[2]string{row, column}] = word }

// run notes the word that test returns, or that it failed.
func (m *table) run(t *testing.T, row, column string, test func() string) {
	m.set(row, column, "FAILED")
	if word := test(); !t.Failed() {
		m.set(row, column, word)
	}
}

func (m *table) cannotExist(row, column, why string) {
	m.set(row, column, "-")
	if line := row + ": " + why; len(m.reasons) == 0 || m.reasons[len(m.reasons)-1] != line {
		m.reasons = append(m.reasons, line)
	}
}

func rowNames() (names []string) {
	for _, r := range rows() {
		names = append(names, r.name)
	}
	for _, r := range besides {
		names = append(names, r.name)
	}
	return names
}

// missing returns the cells that nothing is known of.
func (m *table) missing() (cells []string) {
	for _, row := range rowNames() {
		for _, c := range columns {
			if m.words[[2]string{row, c.name}] == "" {
				cells = append(cells, fmt.Sprintf("%s, %s, %s", m.place, row, c.name))
			}
		}
	}
	return cells
}

func (m *table) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "\n%-27s", m.place)
	for _, c := range columns {
		fmt.Fprintf(&s, " %-12s", c.name)
	}
	for _, row := range rowNames() {
		fmt.Fprintf(&s, "\n%-27s", row)
		for _, c := range columns {
			fmt.Fprintf(&s, " %-12s", m.words[[2]string{row, c.name}])
		}
	}
	for _, reason := range m.reasons {
		fmt.Fprintf(&s, "\n- %s", reason)
	}
	return s.String()
}
