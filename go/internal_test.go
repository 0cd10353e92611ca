//go:build cgo

package mapview

import (
	"errors"
	"syscall"
	"testing"
)

// What cannot be brought about from outside: a full quota, and the bookkeeping
// at its bounds.

func TestFaultCause(t *testing.T) {
	quota := faultCause(int(syscall.EDQUOT))
	if !errors.Is(quota, ErrNoSpace) || !errors.Is(quota, syscall.EDQUOT) || errors.Is(quota, syscall.ENOSPC) {
		t.Errorf("a full quota is %v", quota)
	}
	disk := faultCause(int(syscall.ENOSPC))
	if disk != ErrNoSpace || !errors.Is(disk, syscall.ENOSPC) || errors.Is(disk, syscall.EDQUOT) {
		t.Errorf("a full disk is %v", disk)
	}
	if errors.Is(ErrTruncated, ErrNoSpace) {
		t.Error("a truncation is a full disk")
	}
	if cause := faultCause(int(syscall.EINVAL)); cause != nil {
		t.Errorf("a bad argument is %v", cause)
	}
}

// A pointer to a record is lent, as one of Ptr is; the Records are not.
func TestRecordsLend(t *testing.T) {
	for what, use := range map[string]func(*Records[uint64]){
		"At":  func(r *Records[uint64]) { *r.At(7) = 5 },
		"All": func(r *Records[uint64]) { r.All()(func(int, *uint64) bool { return false }) },
		"":    func(r *Records[uint64]) { r.Len() },
	} {
		v, err := Anonymous(64, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewRecords[uint64](v, 0)
		if err != nil {
			t.Fatal(err)
		}
		if use(r); v.life.lent.Load() != (what != "") {
			t.Errorf("after %q: lent is %v", what, v.life.lent.Load())
		}
		v.Close()
	}
}

// What an Appender asks of Sync: the new records alone, and all of the file's
// metadata when its length has changed.
func TestAppenderSync(t *testing.T) {
	v, err := NewMemory(0, &Options{Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	a, err := NewAppender(v, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := func(synced, size int64, level Level) {
		t.Helper()
		if due, err := a.due(); due.level != level || err != nil {
			t.Errorf("%v: the level is %d, not %d", err, due.level, level)
		}
		if err := a.Sync(); err != nil || a.synced != synced || a.syncedSize != size {
			t.Errorf("%v: synced to %d of %d, not %d of %d", err, a.synced, a.syncedSize, synced, size)
		}
	}
	want(0, 0, SyncFull)
	a.Append(make([]byte, 100))
	if a.synced != 0 {
		t.Error("synced too early")
	}
	want(100, 64<<10, SyncFull)
	a.Append(make([]byte, 10))
	want(110, 64<<10, SyncData)
	a.Append(make([]byte, 64<<10))
	want(110+(64<<10), 128<<10, SyncFull)
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	want(110+(64<<10), 110+(64<<10), SyncFull)
}

func TestPool(t *testing.T) {
	var p pool
	one := &life{bytes: 1}
	add := func(n int) {
		for range n {
			p.add(one)
		}
	}
	want := func(when string, much bool) {
		t.Helper()
		if p.much() != much {
			t.Errorf("%s: much is %v", when, !much)
		}
	}
	add(maxUncollected)
	want("up to the bound", false)
	add(1)
	want("over the bound", true)
	p.collected()
	want("after a collection that found nothing", false)
	add(maxUncollected)
	want("again up to the bound", false)
	for range 2 * maxUncollected {
		p.remove(one)
	}
	add(maxUncollected)
	want("up to the bound above the lowest", false)
	add(1)
	want("over it", true)
	p.collected()
	p.add(&life{bytes: maxUncollectedSize})
	want("up to the bound of bytes", false)
	add(1)
	want("over it", true)
}

func TestQueue(t *testing.T) {
	var q queue
	push := func(bytes int64, want ...*life) *life {
		t.Helper()
		l := &life{bytes: bytes}
		old := q.push(l)
		if len(old) != len(want) {
			t.Fatalf("%d are freed, not %d", len(old), len(want))
		}
		for i := range old {
			if old[i] != want[i] {
				t.Errorf("freed in another order")
			}
		}
		return l
	}
	first := push(1)
	second := push(1)
	for range maxQuarantined - 2 {
		push(1)
	}
	push(1, first)
	push(1, second)
	if q.bytes != maxQuarantined {
		t.Errorf("%d bytes", q.bytes)
	}

	// A large one drives all others out, but is not freed itself.
	large := push(maxQuarantineBytes+1, append([]*life(nil), q.lives...)...)
	small := push(1, large)
	if len(q.lives) != 1 || q.lives[0] != small {
		t.Errorf("%d are left", len(q.lives))
	}
}
