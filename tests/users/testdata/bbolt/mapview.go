package bbolt

import (
	"os"
	"syscall"
	"unsafe"

	mapview "example.com/mapview/go"
	"go.etcd.io/bbolt/internal/common"
)

// mapping is the type of the field of DB that users.sh adds.
type mapping = *mapview.View

// mmap shows a file that is mostly shorter than sz, and grows by writes to it:
// then the bytes are there, at the addresses that were kept for them.
func mmap(db *DB, sz int) error {
	view, err := mapview.Map(db.file, os.O_RDONLY, &mapview.Options{Reserve: int64(sz), Advice: mapview.AdviceRandom})
	if err != nil {
		return err
	}
	if db.MmapFlags&syscall.MAP_POPULATE != 0 {
		if err := view.Prefault(0, mapview.ToEnd, mapview.AccessRead); err != nil {
			view.Close()
			return err
		}
	}
	first := unsafe.SliceData(view.Bytes())
	db.view = view
	db.dataref = unsafe.Slice(first, sz)
	db.data = (*[common.MaxMapSize]byte)(unsafe.Pointer(first))
	db.datasz = sz
	return nil
}

func munmap(db *DB) error {
	if db.view == nil {
		return nil
	}
	err := db.view.Close()
	db.view, db.dataref, db.data, db.datasz = nil, nil, nil, 0
	return err
}

func mlock(db *DB, fileSize int) error {
	if err := db.view.Refresh(); err != nil {
		return err
	}
	return db.view.Pin(0, min(int64(fileSize), db.view.Size()))
}

func munlock(db *DB, fileSize int) error {
	if db.view == nil {
		return nil
	}
	return db.view.Unpin(0, min(int64(fileSize), db.view.Size()))
}
