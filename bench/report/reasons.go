// reasons.go says why mapview loses where it does.

package main

import (
	"fmt"
	"regexp"
	"strings"
)

// A reason explains the losses whose text, "C Guard, 64 bytes: mapview mv_read:
// unguarded memcpy", its pattern fits. The first one that fits counts.
type reason struct {
	pattern *regexp.Regexp
	text    string
}

func because(pattern, text string) reason { return reason{regexp.MustCompile(pattern), text} }

const noReason = "No reason known yet:"

var reasons = []reason{
	because(`NO_HANDLER`,
		"Without a handler it is the kernel that makes the copy, so that it can report a fault: a system call an access."),
	because(`Published`,
		"Nothing is read here: what is timed is how an error is made. mapview's says what failed, where and why."),
	because(`: (sysv|posixshm|memfd|malloc|sbrk) |anonymous`,
		"There is no file behind these: they are memory, lost when the machine stops, on pages that the kernel chooses by itself. They show what a file costs at all, whoever maps it."),
	because(`(Guard|GuardWrite).*mv_try`,
		"mv_try saves the registers before each call, so that a fault can return to it, whatever the piece in it does. It is meant for more than one access."),
	because(`C (Guard|GuardWrite|Copy|Read|Write), .*(mv_read|mv_write|mv_load): (unguarded|mmap memcpy)`,
		"The guard in C: a call of the library, a look whether the view is open and the range in it, a note where a fault would go. Beside a copy of few bytes that counts; memcpy from mv_data does without."),
	because(`Rust (Hot|HotWrite).*(mv_read|mv_write)`,
		"The same guard, called from Rust: a copy that the compiler sees is inlined, a call of a C library is not."),
	because(`Go (Guard|Together|Hot|HotLarge|HotWrite|HotWriteLarge|Read|Write|Slice|Parallel), .*`,
		"The guard in Go: an access says where a fault would go, and looks at the size before and after the copy, so that Close may run beside it; Do is one more call of a function. The peers that are faster are slices that a fault or a Close ends the program with, but for the ReadAt of others, which looks at less. Bytes and Slice do without."),
	because(`Once.*(mv_open|open\+).*: (libc|std)`,
		"A mapping for one use: it has to be made and unmade, and its pages touched for the first time, which costs more than a copy of few bytes. Keep the view, or use read."),
	because(`Once.*(mv_open|open\+|kept).*: (mmap|memmap2)`,
		"mv_open does more than mmap: it looks what the file is, and keeps what it needs to tell of a later cut. Or it is mv_read, which copies what the others add up in place."),
	because(`OpenClose.*: os\.File`,
		"Opening and closing without a mapping is less work. A view is meant to be kept."),
	because(`OpenClose`,
		"A view is more than a mapping: it has a guard, a state for Close beside readers, and (for leaks) a note of who opened it."),
	because(`(Cold|Delayed).*mapview (mv_read|ReadAt Resident): `,
		"Without MV_OPEN_RANDOM the kernel reads around each place, far more than it was asked for, as with every mapping without advice; and Resident is a promise that all is in memory, which is broken here."),
	because(`Cold.*: (uring|aio|mmap WILLNEED|libc pread O_DIRECT|libc pread,O_DIRECT)`,
		"They have many reads under way at once, or go past the page cache, and so past its read-ahead and its copy. mv_prefetch has all places that are known under way at once."),
	because(`Go Cold`,
		"A wait of this disk is short: to hand the processor over for it, as mapview does by a call of the kernel for what is not in memory, takes longer than a fault that keeps it. Where a wait is long (Delayed), that is what wins."),
	because(`Cold`,
		"The disk decides, and what it does differs from run to run. Where the kernel reads ahead, a system call has the pages brought in with less work than a fault for each stretch of them."),
	because(`Delayed`,
		"The disk decides: all wait for it about as long."),
	because(`Update.*mv_write,RANDOM: |Speed.*warm.*mv_write,RANDOM`,
		"On a view with MV_OPEN_RANDOM mv_write goes by pwrite, so that a few bytes do not make a whole folio dirty: dear where no sync follows, and many times faster where one does."),
	because(`Update.*sync none: mapview mv_write: mmap store`,
		"The guard in C, beside a store of 64 bytes. Stores through mv_data do without."),
	because(`Prefault.*: mmap faults`,
		"The same stores without a call before them: in large folios one fault brings in a whole folio, so that there is nothing left for mv_prefault to save. It is for small folios, and for an error before the first store."),
	because(`Growth.*: mmap fallocate`,
		"A mapping that is longer than its file from the first needs the allocation alone; mv_resize looks at the file and at the limit of file sizes before, so that what it cannot do is an error."),
	because(`FirstTouch.*mv_prefault`,
		"Prefaulting pays when the pages are to be written, or touched later; where they are touched at once and lie in large folios, the touches themselves are as cheap."),
	because(`FirstTouch`,
		"Small views: what mv_open does beside mmap (see above) is more than the few faults."),
	because(`Append.*: libc write,64KiB`,
		"Records that are gathered in a buffer are a system call for many of them, and are lost when the program ends; one that mv_append has taken is in the file."),
	because(`(Speed|Append).*mv_append`,
		"mv_append makes the file longer as it goes, by steps that double, with real blocks, and brings in the pages: more than a store into what was allocated by hand before."),
	because(`Speed.*fresh.*: libc write`,
		"A fresh file: each of its pages is brought in by a fault of its own, where write fills large folios at once. mv_append and MV_OPEN_SEQUENTIAL fault in more at a time."),
	because(`Speed.*SEQUENTIAL`,
		"MV_OPEN_SEQUENTIAL has what is written put on its way to the disk at once: good for one long write that is synced at the end, not for what is written over while it is warm."),
	because(`Update.*folio 1048576, sync batch: mapview (store|mv_write): |GoSync.*mapview (WriteAt|Bytes)\+Sync(,page)?: os\.File`,
		"On large folios one store makes a whole folio dirty, and all of it is written, whichever range is synced. Writes to a view with MV_OPEN_RANDOM do without."),
	because(`(Speed|WriteSync|GoSync|Update|BulkOver|BulkNew).*: (libc|os\.File|uring|aio|sqlite|lmdb|std)`,
		"After a sync the first store to each page faults again, so that the kernel knows what is dirty: with every mapping. Small and often synced, or large and in order, write has less to do."),
	because(`GoSync.*: .*,page`,
		"By hand the one page that is known to be dirty is synced; Sync looks at all of the view. A sync of the range does the same."),
	because(`ScatterSmall`,
		"In folios of one page a store makes no more dirty than a pwrite does, and it is no system call. MV_OPEN_RANDOM is for what may be in large folios."),
	because(`Rewrite.*: libc pwrite`,
		"pwrite makes a folio dirty as it copies, without a fault, where MV_ADVICE_REWRITE has one for each: too many where the folios are small. mv_write on an MV_OPEN_SEQUENTIAL view is that pwrite."),
	because(`RangeSync`,
		"The same msync of the same range, with a look at the file's length behind it, so that bytes behind a cut are not said to be safe."),
	because(`GoSync.*: .*(msync|Flush|Sync)`,
		"Sync writes all of the metadata, as fsync does; the peers have msync, which leaves out the times of the file. SyncRange with SyncData is that."),
	because(`Speed.*mapview store: mmap store`,
		"The same stores to the same pages: what is left is the sync, which looks at the file's length, and where in memory the pages lie."),
	because(`Speed.*mapview mv_write: mmap store`,
		"The guard in C, beside a store of few bytes. Stores through mv_data do without."),
	because(`Scatter.*: libc`,
		"The same pwrite makes one page dirty without a fault. mv_write on an MV_OPEN_RANDOM view looks at the file's length and at the limit of file sizes first: two more system calls, so that a file that somebody has cut is not made long again."),
	because(`Socket.*: sendfile|Socket.*: libc splice`,
		"sendfile and splice hand over pages; sending from a view copies them into the socket. In Go a Cursor sends a file to a unix socket without a copy."),
	because(`Allocate`,
		"A view is more than memory: malloc recycles pages that were touched before, and never asks the kernel."),
	because(`Message`,
		"The ways are the same memory; which is first differs with the pages they got."),
}

// A lostLot is the losses that have one reason.
type lostLot struct {
	reason string
	lines  []string
}

// losses returns all losses, by their reasons in the order of the table.
func (r *report) losses() ([]lostLot, error) {
	byReason := make([][]loss, len(reasons)+1)
	for _, g := range r.groups {
		losses, err := g.losses()
		if err != nil {
			return nil, err
		}
		for _, l := range losses {
			i := reasonOf(l)
			byReason[i] = append(byReason[i], l)
		}
	}
	var lots []lostLot
	for i, losses := range byReason {
		if len(losses) == 0 {
			continue
		}
		lot := lostLot{reason: noReason, lines: lossLines(losses)}
		if i < len(reasons) {
			lot.reason = reasons[i].text
		}
		lots = append(lots, lot)
	}
	return lots, nil
}

// lossLines says each loss, but those of one variant in several blocks of a row in
// one line.
func lossLines(losses []loss) (lines []string) {
	var order []string
	rows := map[string][]loss{}
	for _, l := range losses {
		key := l.g.langName() + " " + l.g.name + ": " + spelled(l.ours)
		if rows[key] == nil {
			order = append(order, key)
		}
		rows[key] = append(rows[key], l)
	}
	for _, key := range order {
		lines = append(lines, lossLine(rows[key]))
	}
	return lines
}

func lossLine(losses []loss) string {
	first := losses[0]
	places := 0
	var peers []string
	low, high := map[string]float64{}, map[string]float64{}
	var last *group
	whole := false
	for _, l := range losses {
		if l.g != last {
			places, last = places+1, l.g
		}
		whole = whole || l.whole
		peer := spelled(l.peer)
		if low[peer] == 0 {
			peers = append(peers, peer)
			low[peer] = l.by.middle
		}
		low[peer], high[peer] = min(low[peer], l.by.middle), max(high[peer], l.by.middle)
	}
	where := first.g.place()
	if places > 1 {
		where = fmt.Sprintf("%s (%d blocks, from %s to %s)", first.g.name, places, strings.TrimPrefix(first.g.place(), first.g.name+", "),
			strings.TrimPrefix(last.place(), first.g.name+", "))
	}
	var texts []string
	for _, peer := range peers {
		by := short3(low[peer])
		if high[peer] > 1.02*low[peer] {
			by += "-" + short3(high[peer])
		}
		texts = append(texts, by+"x "+peer)
	}
	text := fmt.Sprintf("%s %s: %s: %s", first.g.langName(), where, spelled(first.ours), strings.Join(texts, ", "))
	if whole {
		text += wholeMark
	}
	return text
}

// wholeMark is put behind a loss that no other way of mapview's makes good.
const wholeMark = " (*)"

func (l loss) String() string {
	return fmt.Sprintf("%s %s: %s: %s", l.g.langName(), l.g.place(), spelled(l.ours), spelled(l.peer))
}

func reasonOf(l loss) int {
	for i, known := range reasons {
		if known.pattern.MatchString(l.String()) {
			return i
		}
	}
	return len(reasons)
}
