//go:build cgo

package mapview

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Close detaches: the memory becomes inaccessible where it is, so that an
// access that is running, and one through an old slice, faults instead of
// finding another file there. The address space goes back when nothing can
// point to it any more:
//
//   - A View that was never lent (Bytes, Slice, Ptr) is freed when it is
//     garbage, closed or not.
//   - A View that was lent and not closed is never freed: see Leaks.
//   - A View that was lent and closed waits, once it is garbage, in the
//     quarantine, a queue.
//
// The kernel allows 65530 mappings, and the addresses of a processor can be
// used up by 127 reservations of 1 TiB. So what waits for the garbage
// collector is counted, and the collector called when it is much.

// Bounds, of which the first to be passed counts. Together the three pools
// stay below half of what the kernel and the processor have.
const (
	maxQuarantined     = 8192
	maxQuarantineBytes = 8 << 40
	maxUncollected     = 8192
	maxUncollectedSize = 16 << 40
)

// A life is what is left of a View when it is garbage.
type life struct {
	c      handle
	bytes  int64       // of address space
	lent   atomic.Bool // slices or pointers may be out
	closed bool        // protected by books
	over   bool        // nobody can access it any more; protected by ageing

	name   string
	opened callers
}

// books counts the address ranges of the process that are views. The lock
// protects everything in it, and is never held during a call of the C core.
var books struct {
	sync.Mutex
	live       pool // opened, and not closed
	leaked     []*life
	waiting    pool // closed, and not known to be garbage
	quarantine queue
}

// Live returns how many Views are open: opened and not closed. One that has
// become garbage without Close stays open if Bytes, Slice or Ptr were called
// on it, since their results may still be in use: see [Leaks].
func Live() int {
	books.Lock()
	defer books.Unlock()
	return books.live.ranges
}

// begin enters v in the books.
func begin(v *View) *life {
	l := &life{c: v.c, bytes: int64(v.end - v.first), name: v.name}
	books.Lock()
	books.live.add(l)
	books.Unlock()
	runtime.AddCleanup(v, end, l)
	collectIfMuch()
	return l
}

// Close ends all access to the view, for good. It may be called at any time:
// an access that is running beside it finishes or returns an error that is
// os.ErrClosed, as every later one does; through a slice of Bytes or Slice, or
// a pointer of Ptr, every later access faults. Bytes that were not synced are
// written by the kernel in its own time.
//
// It waits for a Resize that is running, and may run the garbage collector when
// much address space waits for it.
//
// Close returns the failure of an earlier [View.Sync] if there was one; the
// view is closed all the same. A second Close returns nil.
func (v *View) Close() error {
	f := v.detach()
	collectIfMuch()
	return pathError("close", v.name, f)
}

func (v *View) detach() *failure {
	v.shape.Lock()
	defer v.shape.Unlock()
	if v.size.Load() < 0 {
		return nil
	}
	v.size.Store(-1) // first: a fault from now on is because of us
	f := coreDetach(v.c)
	if f != nil && f.code == int(syscall.ENOMEM) { // the limit of mappings
		collect()
		empty()
		f = coreDetach(v.c)
	}
	books.Lock()
	v.life.closed = true
	books.live.remove(v.life)
	books.waiting.add(v.life)
	books.Unlock()
	runtime.KeepAlive(v)
	return f
}

// end is called once a View is garbage.
func end(l *life) {
	ageing.remove(l)
	for _, old := range l.leave() {
		coreClose(old.c)
	}
	ended.Add(1)
}

// leave takes l out of its pool and returns what is to be freed.
func (l *life) leave() []*life {
	books.Lock()
	defer books.Unlock()
	lent := l.lent.Load()
	switch {
	case l.closed && lent:
		books.waiting.remove(l)
		return books.quarantine.push(l)
	case l.closed:
		books.waiting.remove(l)
	case lent:
		books.leaked = append(books.leaked, l)
		return nil
	default:
		books.live.remove(l)
	}
	return []*life{l}
}

// A pool is a number of ranges, some of which the garbage collector might free.
type pool struct {
	ranges int
	bytes  int64

	// The smallest values since the last collection: what is above them has
	// come since, and nobody knows yet whether it is garbage.
	oldRanges int
	oldBytes  int64
}

func (p *pool) add(l *life) {
	p.ranges++
	p.bytes += l.bytes
}

func (p *pool) remove(l *life) {
	p.ranges--
	p.bytes -= l.bytes
	p.oldRanges = min(p.oldRanges, p.ranges)
	p.oldBytes = min(p.oldBytes, p.bytes)
}

func (p *pool) collected() { p.oldRanges, p.oldBytes = p.ranges, p.bytes }

func (p *pool) much() bool {
	return p.ranges-p.oldRanges > maxUncollected || p.bytes-p.oldBytes > maxUncollectedSize
}

// A queue holds closed ranges in the order of their coming.
type queue struct {
	lives []*life
	bytes int64
}

// push adds l and returns those that are too many, the oldest, but never l.
func (q *queue) push(l *life) []*life {
	q.lives = append(q.lives, l)
	q.bytes += l.bytes
	n := 0
	for n < len(q.lives)-1 && (len(q.lives)-n > maxQuarantined || q.bytes > maxQuarantineBytes) {
		q.bytes -= q.lives[n].bytes
		n++
	}
	old := q.lives[:n:n]
	q.lives = q.lives[n:]
	return old
}

// empty frees the quarantine, when there is no other way to go on. It returns
// whether there was anything.
func empty() bool {
	books.Lock()
	lives := books.quarantine.lives
	books.quarantine = queue{}
	books.Unlock()
	for _, l := range lives {
		coreClose(l.c)
	}
	return len(lives) > 0
}

// collecting is held by the one who calls the garbage collector; the others
// wait, so that nobody opens faster than ranges are freed.
var collecting sync.Mutex

// ended counts the calls of end.
var ended atomic.Int64

func isMuch() bool {
	books.Lock()
	defer books.Unlock()
	return books.live.much() || books.waiting.much()
}

func collectIfMuch() {
	if !isMuch() {
		return
	}
	collecting.Lock()
	defer collecting.Unlock()
	if isMuch() { // nobody else has done it meanwhile
		collectLocked()
	}
}

// collect frees the ranges of all Views that are garbage now.
func collect() {
	collecting.Lock()
	defer collecting.Unlock()
	collectLocked()
}

// collectLocked waits for the cleanups as long as they make progress: they run
// in a goroutine of the runtime, after GC has returned.
func collectLocked() {
	runtime.GC()
	const patience, longest = 5, 200 // milliseconds
	for idle, all := 0, 0; idle < patience && all < longest; all++ {
		before := ended.Load()
		time.Sleep(time.Millisecond)
		idle++
		if ended.Load() != before {
			idle = 0
		}
	}
	books.Lock()
	books.live.collected()
	books.waiting.collected()
	books.Unlock()
}
