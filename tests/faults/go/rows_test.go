//go:build cgo

package faults

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"

	mapview "example.com/mapview/go"
)

// A cell is one column of a row in a place: a file and a view of its own.
type cell struct {
	column  column
	name    string
	f       *os.File // the file, as somebody else has it open
	v       *mapview.View
	private bool
}

// A row is a fault that comes over the files of its cells from outside, and
// goes away again.
type row struct {
	name     string
	from, to int // the bytes that are accessed

	// absent returns why the row, or one of its columns, cannot exist in a
	// place, found out by trying; "" if it can.
	absent func(t *testing.T, p place, c column) string

	holes  []int // pages of the file that have no blocks
	open   func(t *testing.T, p place, c *cell)
	dirty  bool // the view's pages are in memory and changed when it strikes
	strike func(t *testing.T, p place, cells []*cell)
	want   func(p place, c column) expectation
	sync   error // what Sync says then
	heal   func(t *testing.T, p place, cells []*cell)
}

// An expectation is what an access must do under the fault.
type expectation struct {
	bytes []byte // what a load returns, from row.from on
	ends  []int  // the bytes of the view of which one is the first bad one; none: all is done
	cause error
	plain bool // the error is no FaultError
}

var page = os.Getpagesize()

// Every file has four pages, no byte of which is 0.
const pages = 4

func content() []byte { return numbered(1) }

// others is as long, and differs in every byte.
func others() []byte { return numbered(100) }

func numbered(from int) []byte {
	b := make([]byte, pages*page)
	for i := range b {
		b[i] = byte(1 + (from+i+i/page)%199)
	}
	return b
}

// zeroed returns b with zeros from one byte to another.
func zeroed(b []byte, from, to int) []byte {
	clear(b[from:to])
	return b
}

const marker = "this block cannot be read"

var (
	toFull   = func(t *testing.T, p place, _ []*cell) { p.fill(t) }
	fromFull = func(t *testing.T, p place, _ []*cell) { p.free(t) }
)

func rows() []row {
	middle := page + 100
	return []row{
		{
			name: "cut to 0", from: 17, to: 2*page + 5, dirty: true, sync: mapview.ErrTruncated,
			strike: cutTo(0), heal: regrow,
			want: func(place, column) expectation {
				return expectation{ends: []int{17}, cause: mapview.ErrTruncated}
			},
		}, {
			name: "cut inside a page", from: 17, to: 3 * page, dirty: true, sync: mapview.ErrTruncated,
			strike: cutTo(middle), heal: regrow, want: cutInside,
		}, {
			name: "cut and grown back", from: 17, to: 3 * page, dirty: true,
			strike: func(t *testing.T, p place, cells []*cell) {
				cutTo(middle)(t, p, cells)
				cutTo(pages*page)(t, p, cells)
			},
			want: func(place, column) expectation {
				return expectation{bytes: zeroed(others(), middle, pages*page)}
			},
			heal: regrow,
		}, {
			name: "cut, read-only view", from: 17, to: 3 * page, sync: mapview.ErrTruncated,
			open:   openWith(os.O_RDONLY, nil),
			strike: cutTo(middle), heal: regrow,
			want: func(p place, c column) expectation {
				if c.store {
					return expectation{ends: []int{17}, cause: fs.ErrPermission, plain: c.op == "write"}
				}
				return expectation{bytes: zeroed(content(), middle, pages*page), ends: []int{2 * page}, cause: mapview.ErrTruncated}
			},
		}, {
			// The private copies of the pages behind the cut die with them; the
			// one that the cut goes through stays whole.
			name: "cut, private view", from: 17, to: 3 * page, dirty: true, sync: fs.ErrInvalid,
			open:   openWith(os.O_RDWR, &mapview.Options{Private: true}),
			strike: cutTo(middle), heal: regrow,
			want: func(place, column) expectation {
				return expectation{bytes: others(), ends: []int{2 * page}, cause: mapview.ErrTruncated}
			},
		}, {
			name: "memfd cut inside a page", from: 17, to: 3 * page, dirty: true, sync: mapview.ErrTruncated,
			absent: func(_ *testing.T, p place, _ column) string {
				if p != "tmpfs" {
					return "a memfd lies in the kernel's own tmpfs"
				}
				return ""
			},
			open:   openMemory,
			strike: cutTo(middle), heal: regrow, want: cutInside,
		}, {
			name: "hole, no room", from: page + 17, to: 3*page + 5, holes: []int{2},
			strike: toFull, heal: fromFull, want: holeWithoutRoom,
		}, {
			name: "punched hole", from: page + 17, to: 3*page + 5, dirty: true,
			strike: punchPage(2), heal: regrow,
			want: func(place, column) expectation {
				return expectation{bytes: zeroed(others(), 2*page, 3*page)}
			},
		}, {
			name: "punched hole, no room", from: page + 17, to: 3*page + 5,
			strike: func(t *testing.T, p place, cells []*cell) {
				punchPage(2)(t, p, cells)
				p.fill(t)
			},
			want: holeWithoutRoom, heal: fromFull,
		}, {
			name: "reflink, no room", from: page + 17, to: 3*page + 5,
			absent: noReflink, open: openReflinked,
			strike: toFull, heal: fromFull,
			want: func(_ place, c column) expectation {
				if c.store {
					return expectation{ends: []int{page + 17}, cause: mapview.ErrNoSpace}
				}
				return expectation{bytes: content()}
			},
		},
		readError("read error", os.O_RDWR, nil),
		readError("read error, read-only view", os.O_RDONLY, nil),
		readError("read error, private view", os.O_RDWR, &mapview.Options{Private: true}),
	}
}

func cutInside(place, column) expectation {
	return expectation{
		bytes: zeroed(others(), page+100, pages*page),
		ends:  []int{2 * page}, cause: mapview.ErrTruncated,
	}
}

// holeWithoutRoom: a store needs a block and a load does not, but for tmpfs,
// where the file's bytes read as zeros all the same.
func holeWithoutRoom(p place, c column) expectation {
	want := expectation{bytes: zeroed(content(), 2*page, 3*page)}
	inPlace := c.op == "access" || c.op == ""
	if c.store || p == "tmpfs" && inPlace {
		want.ends, want.cause = []int{2 * page}, mapview.ErrNoSpace
	}
	if c.store && p.copiesOnWrite() {
		want.ends = append(want.ends, page+17)
	}
	return want
}

// readError is the failure of the disk in page 2 of a file, of which nothing is
// in memory.
func readError(name string, flag int, opt *mapview.Options) row {
	from := 2*page - 10
	withMarker := func() []byte {
		b := content()
		copy(b[2*page+100:], marker)
		return b
	}
	return row{
		name: name, from: from, to: 2*page + 50,
		absent: func(t *testing.T, p place, c column) string {
			if _, err := os.Stat(p.control()); err != nil {
				return "there is no disk under it"
			}
			if c.store && flag == os.O_RDONLY {
				return "a read-only view takes no store, whatever the disk does"
			}
			return ""
		},
		open: func(t *testing.T, p place, c *cell) {
			create(t, c.name, withMarker())
			forget(t, c.name)
			openWith(flag, opt)(t, p, c)
		},
		strike: func(t *testing.T, p place, _ []*cell) { p.order(t, "read-error "+marker) },
		want: func(place, column) expectation {
			return expectation{bytes: withMarker(), ends: []int{2 * page}, cause: syscall.EIO}
		},
		sync: syncOfPrivate(opt),
		heal: func(t *testing.T, p place, _ []*cell) { p.order(t, "heal") },
	}
}

func syncOfPrivate(opt *mapview.Options) error {
	if opt != nil && opt.Private {
		return fs.ErrInvalid
	}
	return nil
}

func noReflink(t *testing.T, p place, _ column) string {
	name := p.path("original")
	create(t, name, content())
	defer os.Remove(name)
	defer os.Remove(p.path("copy"))
	if err := reflink(name, p.path("copy")); err != nil {
		return fmt.Sprintf("no reflinks: %v", err)
	}
	return ""
}

// What the cells do to their files. cutTo makes them n bytes long.
func cutTo(n int) func(*testing.T, place, []*cell) {
	return func(t *testing.T, _ place, cells []*cell) {
		for _, c := range cells {
			if err := c.f.Truncate(int64(n)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func punchPage(i int) func(*testing.T, place, []*cell) {
	return func(t *testing.T, _ place, cells []*cell) {
		for _, c := range cells {
			punch(t, c.name, i*page, page)
		}
	}
}

// regrow makes the files as they were.
func regrow(t *testing.T, _ place, cells []*cell) {
	for _, c := range cells {
		if _, err := c.f.WriteAt(content(), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func openWith(flag int, opt *mapview.Options) func(*testing.T, place, *cell) {
	return func(t *testing.T, p place, c *cell) {
		v, err := mapview.OpenFile(c.name, flag, 0, opt)
		if err != nil {
			t.Fatal(err)
		}
		c.v, c.private = v, opt != nil && opt.Private
		c.f = openFile(t, c.name)
	}
}

func openReflinked(t *testing.T, p place, c *cell) {
	if err := reflink(c.name, c.name+".copy"); err != nil {
		t.Fatal(err)
	}
	openWith(os.O_RDWR, nil)(t, p, c)
}

func openMemory(t *testing.T, _ place, c *cell) {
	v, err := mapview.NewMemory(pages*int64(page), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.v = v
	if c.f, err = v.File(); err != nil {
		t.Fatal(err)
	}
}
