package z

import (
	"fmt"
	"os"
	"sync"
	"unsafe"

	mapview "example.com/mapview/go"
	"golang.org/x/sys/unix"
)

// room is how far a file can grow without moving.
const room = 16 << 30

// views holds the view of each map by the address of its first byte, which
// never changes.
var views sync.Map

func viewOf(b []byte) (*mapview.View, error) {
	if v, ok := views.Load(unsafe.SliceData(b)); ok {
		return v.(*mapview.View), nil
	}
	return nil, unix.EINVAL
}

func mmap(fd *os.File, writable bool, size int64) ([]byte, error) {
	flag := os.O_RDONLY
	if writable {
		flag = os.O_RDWR
	}
	view, err := mapview.Map(fd, flag, &mapview.Options{Reserve: max(size, room)})
	if err != nil {
		return nil, err
	}
	b := view.Bytes()
	views.Store(unsafe.SliceData(b), view)
	return b[:size], nil
}

func munmap(b []byte) error {
	view, err := viewOf(b)
	if err != nil {
		return err
	}
	views.Delete(unsafe.SliceData(b))
	return view.Close()
}

func madvise(b []byte, readahead bool) error {
	view, err := viewOf(b)
	if err != nil {
		return err
	}
	advice := mapview.AdviceNormal
	if !readahead {
		advice = mapview.AdviceRandom
	}
	return view.Advise(0, int64(len(b)), advice)
}

func msync(b []byte) error {
	view, err := viewOf(b)
	if err != nil {
		return err
	}
	return view.SyncRange(0, int64(len(b)), mapview.SyncData)
}

// Truncate needs neither a new map nor new addresses.
func (m *MmapFile) Truncate(maxSz int64) error {
	view, err := viewOf(m.Data)
	if err != nil {
		return err
	}
	if err := m.Sync(); err != nil {
		return fmt.Errorf("while sync file: %s, error: %v", m.Fd.Name(), err)
	}
	if err := view.Resize(maxSz); err != nil {
		return fmt.Errorf("while truncate file: %s, error: %v", m.Fd.Name(), err)
	}
	m.Data = view.Bytes()
	return nil
}
