// peers.go lists the ways to a file's bytes: mapview's own and those of others.
// A new peer is an entry in ways, a function that opens and, if it has methods
// for reading and writing, their loops in loops.go.

package main

import (
	"fmt"
	"os"
	"reflect"
	"slices"

	mapview "example.com/mapview/go"
	dropin "example.com/mapview/go/mmap"
	mmapgo "github.com/edsrzf/mmap-go"
	gommap "github.com/go-mmap/mmap"
	tysongommap "github.com/tysonmote/gommap"
	expmmap "golang.org/x/exp/mmap"
	"golang.org/x/sys/unix"
)

// A way is a package and the calls of it that are used.
type way struct {
	impl              string
	read, write, sync string // what its calls are named; "" is what it cannot do
	open              func(r *resources, path string, how how) (*opened, error)
}

// how a file is to be opened.
type how struct {
	write  bool
	random bool // tell the kernel that accesses will be at random
}

// An opened file. It is closed with the resources.
type opened struct {
	read, write loop
	sync        func() error             // the whole file
	syncRange   func(off, n int64) error // nil: it can only sync the whole
	bytes       []byte                   // the mapping; nil: of a View, or there is none
}

// ways are what all rows about the access to a file have, where they can. The
// order is that of the table.
var ways = []way{
	{"mapview", "ReadAt", "WriteAt", "Sync", openMapview(mapview.Options{}, readView, writeView)},
	{"mapview", "ReadAt,resident", "WriteAt,resident", "", openMapview(mapview.Options{Resident: true}, readView, writeView)},
	{"mapview", "Do", "Do", "Sync", openMapview(mapview.Options{}, readDo, writeDo)},
	{"mapview", "Bytes", "Bytes", "Sync", openMapview(mapview.Options{}, readBytes, writeBytes)},
	{"mapview-mmap", "ReadAt", "", "", openDropin},
	{"exp-mmap", "ReadAt", "", "", openExp},
	{"go-mmap", "ReadAt", "WriteAt", "Sync", openGoMmap},
	{"mmap-go", "copy", "copy", "Flush", openMmapGo},
	{"gommap", "copy", "copy", "Sync", openGommap},
	{"syscall.Mmap", "copy", "copy", "msync", openByHand},
	{"os.File", "ReadAt", "WriteAt", "Sync", openOSFile},
}

// waysAndPair has the first way again at its end, for the A/A pair.
func waysAndPair() []way { return slices.Concat(ways, ways[:1]) }

// missing tells of the peers that are not built in.
var missing []string

// wayNamed finds one by what it is and how it reads or writes.
func wayNamed(impl, op string) *way {
	for i := range ways {
		if w := &ways[i]; w.impl == impl && (w.read == op || w.write == op) {
			return w
		}
	}
	panic("no way " + impl + " " + op)
}

func readBytes(v *mapview.View) loop  { return copyOut(v.Bytes()) }
func writeBytes(v *mapview.View) loop { return copyIn(v.Bytes()) }

func openMapview(opt mapview.Options, read, write func(*mapview.View) loop) func(*resources, string, how) (*opened, error) {
	return func(r *resources, path string, how how) (*opened, error) {
		opt := opt
		if how.random {
			opt.Advice = mapview.AdviceRandom
		}
		v, err := mapview.OpenFile(path, how.flag(), 0, &opt)
		if err != nil {
			return nil, err
		}
		r.closeLater(v.Close)
		return &opened{read: read(v), write: write(v), sync: v.Sync, syncRange: func(off, n int64) error {
			return v.SyncRange(off, n, mapview.SyncData)
		}}, nil
	}
}

func (h how) flag() int {
	if h.write {
		return os.O_RDWR
	}
	return os.O_RDONLY
}

func openDropin(r *resources, path string, how how) (*opened, error) {
	m, err := dropin.Open(path)
	if err != nil {
		return nil, err
	}
	r.closeLater(m.Close)
	return &opened{read: readDropin(m)}, nil
}

func openExp(r *resources, path string, how how) (*opened, error) {
	m, err := expmmap.Open(path)
	if err != nil {
		return nil, err
	}
	r.closeLater(m.Close)
	return how.advised(&opened{read: readExp(m), bytes: hidden(m)})
}

func openGoMmap(r *resources, path string, how how) (*opened, error) {
	flag := gommap.Read
	if how.write {
		flag |= gommap.Write
	}
	m, err := gommap.OpenFile(path, flag)
	if err != nil {
		return nil, err
	}
	r.closeLater(m.Close)
	return how.advised(&opened{read: readGoMmap(m), write: writeGoMmap(m), sync: m.Sync, bytes: hidden(m)})
}

// hidden reaches for the mapping of a package that has no call for the kernel's
// advice.
func hidden(m any) []byte { return reflect.ValueOf(m).Elem().FieldByName("data").Bytes() }

func (h how) advised(o *opened) (*opened, error) {
	if h.random {
		if err := unix.Madvise(o.bytes, unix.MADV_RANDOM); err != nil {
			return nil, os.NewSyscallError("madvise", err)
		}
	}
	return o, nil
}

// inPlace is for what has its bytes as a slice. part syncs pages n bytes long
// from off on.
func (h how) inPlace(m []byte, sync func() error, part func(off, n int) error) (*opened, error) {
	return h.advised(&opened{read: copyOut(m), write: copyIn(m), bytes: m, sync: sync,
		syncRange: func(off, n int64) error {
			from := int(off) &^ 4095
			return part(from, int(off+n)-from)
		}})
}

// withFile calls use with the open file and closes that.
func (h how) withFile(path string, use func(f *os.File) (*opened, error)) (*opened, error) {
	f, err := os.OpenFile(path, h.flag(), 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return use(f)
}

func openMmapGo(r *resources, path string, how how) (*opened, error) {
	return how.withFile(path, func(f *os.File) (*opened, error) {
		prot := mmapgo.RDONLY
		if how.write {
			prot = mmapgo.RDWR
		}
		m, err := mmapgo.Map(f, prot, 0)
		if err != nil {
			return nil, err
		}
		r.closeLater(m.Unmap)
		return how.inPlace(m, m.Flush, func(off, n int) error { return m[off : off+n].Flush() })
	})
}

func openGommap(r *resources, path string, how how) (*opened, error) {
	return how.withFile(path, func(f *os.File) (*opened, error) {
		prot := tysongommap.PROT_READ
		if how.write {
			prot |= tysongommap.PROT_WRITE
		}
		m, err := tysongommap.Map(f.Fd(), prot, tysongommap.MAP_SHARED)
		if err != nil {
			return nil, err
		}
		r.closeLater(m.UnsafeUnmap)
		sync := func() error { return m.Sync(tysongommap.MS_SYNC) }
		return how.inPlace(m, sync, func(off, n int) error { return m[off : off+n].Sync(tysongommap.MS_SYNC) })
	})
}

func openByHand(r *resources, path string, how how) (*opened, error) {
	return how.withFile(path, func(f *os.File) (*opened, error) {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		prot := unix.PROT_READ
		if how.write {
			prot |= unix.PROT_WRITE
		}
		m, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), prot, unix.MAP_SHARED)
		if err != nil {
			return nil, os.NewSyscallError("mmap", err)
		}
		r.closeLater(func() error { return unix.Munmap(m) })
		return how.inPlace(m, func() error { return msync(m) }, func(off, n int) error { return msync(m[off : off+n]) })
	})
}

func msync(m []byte) error {
	return os.NewSyscallError("msync", unix.Msync(m, unix.MS_SYNC))
}

func openOSFile(r *resources, path string, how how) (*opened, error) {
	f, err := os.OpenFile(path, how.flag(), 0)
	if err != nil {
		return nil, err
	}
	r.closeLater(f.Close)
	if how.random {
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM); err != nil {
			return nil, os.NewSyscallError("fadvise", err)
		}
	}
	return &opened{read: readOSFile(f), write: writeOSFile(f), sync: f.Sync}, nil
}

// openIt opens, and names what it failed for.
func (w *way) openIt(r *resources, path string, how how) (*opened, error) {
	o, err := w.open(r, path, how)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.impl, err)
	}
	return o, nil
}
