//go:build cgo

/*
Package mapview shows files, and memory that has no file, as plain memory for
reading and writing.

A [View] is an [io.ReaderAt] and an [io.WriterAt] that costs little more than a
copy, and a [Cursor] reads and writes it like a file. Through [View.Do],
[View.Bytes], [Slice], [Ptr] and [Records] its bytes can be used in place. An
[Appender] adds records to its end. [Open] and [OpenFile] show a named file, [Map]
one that is open already and [DirFS] a tree of them; [Anonymous] and [NewMemory]
show memory without a name, and [OpenMemory] memory that every process can find
by one.

Package mmap in go/mmap takes the place of golang.org/x/exp/mmap, that in
go/mmapgo the place of github.com/edsrzf/mmap-go.

The work is done by a C core, so the package needs cgo and a C compiler, and
Linux.

Offsets and lengths are in bytes, from the first byte of the view, and need no
alignment: the package aligns what it asks of the kernel. A range that leaves the
view is refused, but for ReadAt and WriteAt, which come back short; [ToEnd] as a
length means up to the end.

# Concurrency

Every method of a View may be called at the same time from any number of
goroutines, Close included. Two that access the same bytes, one of them
writing, see each other's bytes in no particular order, as with any memory.
ReadAt, WriteAt, At and Do take no lock: only what lies past the end waits for
a Resize that is making the view smaller, and may yet fail. Resize, Refresh and Close take turns.
A Cursor is for one goroutine at a time, and any number of them may be used at
once. An Appender, Records and a DirFS are for any number of goroutines.

What several goroutines or processes change together must be changed by
package sync/atomic, as through a Ptr[atomic.Uint64]: a record first, then the
number that tells of it.

The race detector does not know the memory of a View: it misses races there,
and does not see what an atomic operation on it orders, which then looks like a
race elsewhere.

# Lifetime

A View must be closed. After Close its methods return an error that is
[os.ErrClosed], also those that are running; a copy that Close stops half-way
may have moved more bytes than it reports.

Slices and pointers into a view stay valid until Close, even if the View itself
is forgotten: what [View.Bytes], [Slice], [Ptr] and [Records] lent is never
unmapped without Close. After Close they fault. Address space that nobody can
use any more goes back by itself, but that of a closed view whose bytes were
lent waits until 8192 more such views, or 8 TiB of them, have been closed and
forgotten, or until address space runs out. So a slice that was kept by mistake
faults instead of reading or changing another file.

A View that was forgotten without Close, and of which nobody has a slice, is
closed by the garbage collector. [Live] counts those that are still open, and
[Leaks] tells which of them were lent and forgotten, and where they were opened.

# Durability

What was stored in a view is seen at once by everybody who reads the file. It
is on the medium after [View.Sync], or after [View.SyncRange] with [SyncData]
or [SyncFull], has returned nil. The first failure stays with the View: no
later sync claims success. An [Appender] syncs whole records.

When somebody else cuts the file to a length inside a page, the bytes from
there to the end of that page read as zero, and what is stored there is lost,
without a fault. Sync and [View.Probe] compare the file's length and say so; a
file that was cut and grown back in between cannot be told from one that was
not.

# Faults

A byte of a view can be out of reach: somebody has cut the file, the disk is
full, the device fails. Where plain mapped memory would end the program,
ReadAt, WriteAt, a Cursor, Prefault, Probe and Do return a [*FaultError], which
names the first such byte and the cause, and At panics with it. What copies also
returns how many bytes came before it.

Code that uses bytes in place has the same safety inside of [View.Do]. Outside
of it, through a slice of Bytes or Slice or a pointer of Ptr, a fault ends the
program with Go's report of it. No signal handler is installed for any of this:
package os/signal, the panics of nil pointers and Go's reports stay as they are.

The kernel reads the disk in pieces of many pages, and may give up a piece
because of one bad block in it. Then the bytes before the block are out of
reach, too.

An error that is no fault is a [*io/fs.PathError]. It answers errors.Is for the
syscall.Errno behind it and for [fs.ErrInvalid], [fs.ErrPermission],
[fs.ErrNotExist], [fs.ErrExist], [os.ErrClosed] and, from Sync and Resize,
[ErrTruncated]. [io.EOF] and [io.ErrShortWrite] come alone, as from package os.

Closing any descriptor of a file drops the classic fcntl locks that the process
holds on it. That holds for the descriptors that opening and closing a View, and
reading a file again for its length or a cause, use, and for the one that
[Cursor.WriteTo] sends from.

A View that is read-only or private keeps no descriptor: to follow its file, or
to find a cause, it opens the name again, also after a rename. Once the file is
unlinked or replaced, Refresh fails and the cause of a fault is syscall.EIO.

# Performance

ReadAt and WriteAt on bytes that are in memory are a copy, with one atomic load
and a few nanoseconds for the safety: no system call, no call into C, no lock,
no allocation, also when they return io.EOF, os.ErrClosed or the error of a bad
offset. Do costs the same once for all that f does.

A load or store of a byte that is not in memory waits for the disk, and keeps
the goroutine's processor from others, which a system call does not. So ReadAt,
WriteAt, At and a Cursor copy by themselves only what was lately in memory, by
what the View remembers; the rest they have brought in by the kernel, in a call
that takes about a microsecond where the bytes are in memory after all. Each
page takes such a call at its first use through the View, and again when it was
forgotten, which happens about eight seconds later. [View.Prefault] and
[View.Probe] count as a use. What is remembered is a bit for each 4 KiB that was
used, and one timer for the process, which runs only while there is something to
forget. [Options].Resident does without all of it. So do memory without a file,
devices, and views of up to 64 KiB, which one wait brings in.

How much that gains depends on how long the disk lets one wait. At a millisecond
many goroutines that read at random get several times the reads, and others run
meanwhile. A disk that answers within some tens of microseconds is nearly as busy
with the two reads that two held processors leave to it: there it gains little or
nothing.

That is for what is read. A store into bytes that are in memory may still wait
for the file system: when they are being written out, or are a hole.

Loads and stores through Bytes, Slice, Ptr and inside of Do are the program's
own, and keep the processor while they wait. Call [View.Prefault] first, or
[View.Prefetch], which begins to read many ranges and waits for none.

A file that is read once from beginning to end, and small files that are opened
for one read, are served as well or better by package os.
*/
package mapview
