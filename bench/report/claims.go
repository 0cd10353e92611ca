// claims.go holds what the notes claim, each with the figures that decide it and the
// rule by which they do.

package main

import (
	"fmt"
	"slices"
)

// A verdict on a claim.
type claimVerdict string

const (
	holds    claimVerdict = "holds"
	holdsNot claimVerdict = "does not hold"
	onlyWhen claimVerdict = "only when" // and the claim says when
	less     claimVerdict = "less than claimed"
)

// A claim of a note. judge gets the values of the measures, in their order, and
// returns the verdict; what it holds for is said in the text that goes with onlyWhen.
type claim struct {
	note     string
	says     string
	measures []measure
	judge    func(v []float64) claimVerdict
	when     string // for onlyWhen
	figures  func(v []float64) string
}

func atLeast(bound float64) func([]float64) claimVerdict {
	return func(v []float64) claimVerdict {
		for _, x := range v {
			if x < bound {
				return holdsNot
			}
		}
		return holds
	}
}

// atLeastOrLess is for claims of a number: what is on their side, but falls short of
// it, is less.
func atLeastOrLess(bound float64) func([]float64) claimVerdict {
	return func(v []float64) claimVerdict {
		if atLeast(bound)(v) == holdsNot && atLeast(1)(v) == holds {
			return less
		}
		return atLeast(bound)(v)
	}
}

// differ is for claims that hold for the first measure and not for the last.
func differ(bound float64) func([]float64) claimVerdict {
	return func(v []float64) claimVerdict {
		first, last := v[0] >= bound, v[len(v)-1] >= bound
		switch {
		case first && last:
			return holds
		case first || last:
			return onlyWhen
		}
		return holdsNot
	}
}

func within(low, high float64) func([]float64) claimVerdict {
	return func(v []float64) claimVerdict {
		for _, x := range v {
			if x < low || x > high {
				return holdsNot
			}
		}
		return holds
	}
}

func times(format string) func([]float64) string {
	return func(v []float64) string {
		args := make([]any, len(v))
		for i, x := range v {
			args[i] = short3(x)
		}
		return fmt.Sprintf(format, args...)
	}
}

const (
	once  = "Once/lang=c/size=%d"
	speed = "Speed/lang=c/size=%d/cache=fresh/sync=end"
)

func sized(block string, size int) string { return fmt.Sprintf(block, size) }

var claims = []claim{
	{"A", "The published benchmark, 500 reads of 4 KiB from a mapping, takes some 12 us, 8000 B and 500 allocations an op, and shows how fast a mapping is read.",
		[]measure{{"Published/lang=go", "exp-mmap ReadAt,Close", "", "reads/op"}, {"Published/lang=go", "exp-mmap ReadAt,Close", "", "ns/op"},
			{"Published/lang=go", "exp-mmap ReadAt,Close", "", "B/op"}, {"Published/lang=go", "exp-mmap ReadAt,Close", "", "allocs/op"}},
		func(v []float64) claimVerdict {
			if v[0] > 0 {
				return holds
			}
			return holdsNot
		}, "",
		func(v []float64) string {
			return fmt.Sprintf("%s, %.0f B and %.0f allocations an op, in which %.0f reads return data: the mapping is closed after the very first, and the rest is errors", timeText(v[1]), v[2], v[3], v[0])
		}},
	{"A", "Repaired, reads of a mapping in Go are faster than os.File's, and allocate nothing.",
		[]measure{{"Read/lang=go/size=1024", "os.File ReadAt", "exp-mmap ReadAt", ""}, {"Read/lang=go/size=4096", "os.File ReadAt", "exp-mmap ReadAt", ""},
			{"Read/lang=go/size=1024", "exp-mmap ReadAt", "", "allocs/op"}},
		func(v []float64) claimVerdict {
			if v[0] > 1 && v[1] > 1 && v[2] == 0 {
				return holds
			}
			return holdsNot
		}, "", func(v []float64) string {
			return fmt.Sprintf("os.File takes %s times as long at 1 KiB, %s at 4 KiB; x/exp/mmap makes %.0f allocations an op", short3(v[0]), short3(v[1]), v[2])
		}},
	{"A", "Writing through a mapping in Go is faster, too.",
		[]measure{{"Write/lang=go/size=1024", "os.File WriteAt", "mapview WriteAt", ""}, {"Write/lang=go/size=4096", "os.File WriteAt", "mapview WriteAt", ""}},
		atLeast(1), "", times("os.File.WriteAt takes %s times as long as mapview's at 1 KiB, %s at 4 KiB, without a sync")},
	{"A", "A page that is not in memory costs a switch to the kernel, so does mmap gain anything there?",
		[]measure{{"Cold/lang=c/pattern=rand/size=4096", "libc pread", "mapview mv_read,RANDOM|mmap memcpy,RANDOM", ""},
			{"Once/lang=c/size=4194304", "libc open+read*", "mmap open+mmap+sum", ""},
			{"Copy/lang=c/size=4096/access=read/pattern=rand", "libc pread", "mmap memcpy", ""},
			{"Copy/lang=c/size=64/access=read/pattern=rand", "libc pread", "mmap memcpy", ""}},
		func(v []float64) claimVerdict {
			if v[0] > 1.25 && v[2] > 1 {
				return holds
			}
			if v[2] > 1 {
				return onlyWhen
			}
			return holdsNot
		}, "the page is in memory",
		func(v []float64) string {
			return fmt.Sprintf("time of read divided by the mapping's: %s where each page comes from the disk, %s where it is in memory but touched for the first time (4 MiB), %s where it was touched before (4 KiB; %s at 64 bytes)",
				short3(v[0]), short3(v[1]), short3(v[2]), short3(v[3]))
		}},
	{"B", "sendfile copies less than mmap and write to a socket.",
		[]measure{{"Socket/lang=c/size=1048576/socket=unix", "mmap send", "sendfile *", ""}, {"Socket/lang=c/size=1048576/socket=tcp", "mmap send", "sendfile *", ""}},
		differ(1.1), "the socket is a unix one", times("mmap and write take %s times as long as sendfile on AF_UNIX, %s on TCP loopback")},
	{"B", "A mapping is slower than read for files under 16 KiB.",
		[]measure{{sized(once, 4096), "mmap open+mmap+sum", "libc open+read+sum", ""}, {sized(once, 16384), "mmap open+mmap+sum", "libc open+read+sum", ""},
			{sized(once, 4096), "mapview kept+sum", "libc open+read+sum", ""}},
		func(v []float64) claimVerdict {
			if v[0] > 1 && v[1] > 1 {
				if v[2] < 1 {
					return onlyWhen
				}
				return holds
			}
			return holdsNot
		}, "the file is mapped for one use", times("opened, used and closed once, mmap takes %s times as long at 4 KiB and %s at 16 KiB; a view that is kept takes %s of it")},
	{"B", "A kept view is ten times as fast as open, read and close of a small file.",
		[]measure{{sized(once, 4096), "libc open+read+sum", "mapview kept+sum", ""}}, atLeast(10), "", times("%s times at 4 KiB, the sum over its bytes included")},
	{"B", "A mapping gains little when many random updates must be written back.",
		[]measure{{"ScatterLarge/lang=c", "mmap store+msync", "libc pwrite+fdatasync", ""}, {"ScatterSmall/lang=c", "mmap store+msync", "libc pwrite+fdatasync", ""},
			{"ScatterLarge/lang=c", "mapview mv_write+mv_sync", "libc pwrite+fdatasync", ""}},
		atLeast(0.9), "", times("256 updates and a sync: mmap takes %s times as long as pwrite on folios of 1 MiB, %s on folios of 4 KiB; mapview %s")},
	{"B", "Random stores without a sync are 20 to 80 times as fast as pwrite.",
		[]measure{{"Update/lang=c/folio=4096/sync=none", "libc pwrite", "mmap store", ""}, {"Update/lang=c/folio=1048576/sync=none", "libc pwrite", "mmap store", ""}},
		differ(20), "the folios are large", times("%s times at 64 bytes on folios of 4 KiB, %s on folios of 1 MiB")},
	{"B", "Synced on large folios, random stores are up to 13 times slower than pwrite.",
		[]measure{{"Update/lang=c/folio=1048576/sync=batch", "mmap store", "libc pwrite", ""}, {"Update/lang=c/folio=4096/sync=batch", "mmap store", "libc pwrite", ""},
			{"Update/lang=c/folio=1048576/sync=batch", "mapview mv_write,RANDOM|mapview mv_write", "libc pwrite", ""}},
		func(v []float64) claimVerdict {
			switch {
			case v[0] >= 1.5 && v[1] >= 1.5:
				return holds
			case v[0] >= 1.5:
				return onlyWhen
			}
			return holdsNot
		}, "the folios are large", times("mmap takes %s times as long on folios of 1 MiB, %s on folios of 4 KiB; mapview's mv_write and mv_sync on the large ones %s")},
	{"B", "A mapping does not suit files of changing length.",
		[]measure{{"GrowthOnext4/lang=c", "mmap munmap+fallocate+mmap", "mapview mv_resize", ""}, {"GrowthOnext4/lang=c", "mapview mv_resize", "kernel fallocate", ""}},
		func(v []float64) claimVerdict {
			if v[0] > 1.5 {
				return onlyWhen
			}
			return holds
		}, "it has to be mapped anew for each growth", times("unmapping, growing and mapping takes %s times as long as mv_resize inside reserved space, which takes %s times the bare fallocate")},
	{"C", "Frequent faults can make a mapping slower than read and write.",
		[]measure{{"Once/lang=c/size=65536", "mmap open+mmap+sum", "libc open+read+sum", ""}, {"WriteSync/lang=c/size=4096", "mmap memcpy+msync", "libc pwrite+fsync", ""}},
		atLeast(1), "", times("mmap takes %s times as long where each page is touched once, %s where each is written and synced again and again")},
	{"D", "Writing to the disk, to a mapping and to memory runs at 1 : 3.8 : 7.6.",
		[]measure{{sized(speed, 16), "libc write", "mmap store", ""}, {sized(speed, 16), "libc write", "mmap store,anonymous", ""},
			{sized(speed, 128), "libc write", "mmap store", ""}, {sized(speed, 128), "libc write", "mmap store,anonymous", ""},
			{sized(speed, 65536), "libc write", "mmap store", ""}, {sized(speed, 65536), "libc write", "mmap store,anonymous", ""}},
		func(v []float64) claimVerdict {
			switch first, last := v[0] > 1.1 && v[1] > v[0], v[4] > 1.1 && v[5] > v[4]; {
			case first && last:
				return holds
			case first:
				return onlyWhen
			}
			return holdsNot
		}, "the records are small, and its order alone", times("a fresh file, one sync at the end, fresh memory: 1 : %s : %s with records of 16 bytes, 1 : %s : %s with 128 bytes, 1 : %s : %s with 64 KiB")},
	{"D", "Without a sync, on a file that is there already, the same order.",
		[]measure{{"Speed/lang=c/size=128/cache=warm/sync=none", "libc write", "mmap store", ""}, {"Speed/lang=c/size=128/cache=warm/sync=none", "libc write", "memory store", ""},
			{"Speed/lang=c/size=65536/cache=warm/sync=none", "libc write", "mmap store", ""}, {"Speed/lang=c/size=65536/cache=warm/sync=none", "libc write", "memory store", ""}},
		func(v []float64) claimVerdict {
			switch first, last := v[0] > 1.1 && v[1] >= v[0], v[2] > 1.1 && v[3] >= v[2]; {
			case first && last:
				return holds
			case first:
				return onlyWhen
			}
			return holdsNot
		}, "the records are small", times("1 : %s : %s with records of 128 bytes, 1 : %s : %s with 64 KiB")},
	{"E", "System V, POSIX, memfd and file mappings are equally fast once mapped.",
		[]measure{{"Copy/lang=c/size=4096/access=read/pattern=seq", "sysv memcpy", "mmap memcpy", ""}, {"Copy/lang=c/size=4096/access=read/pattern=seq", "posixshm memcpy", "mmap memcpy", ""},
			{"Copy/lang=c/size=4096/access=read/pattern=seq", "memfd memcpy", "mmap memcpy", ""}},
		within(0.75, 1.34), "", times("4 KiB in order, against a mapped file: System V %s, POSIX %s, memfd %s of the time")},
	{"E", "Shared memory is 4.6 times as fast as a pipe.",
		[]measure{{"Message/lang=c/size=4096", "pipe *", "mapview *|sysv *|posixshm *|memfd *|mmap *", ""}, {"Message/lang=c/size=65536", "pipe *", "mapview *|sysv *|posixshm *|memfd *|mmap *", ""}},
		func(v []float64) claimVerdict {
			switch {
			case v[0] >= 4 && v[1] >= 4:
				return holds
			case v[0] > 1.2 || v[1] > 1.2:
				return less
			}
			return holdsNot
		}, "", times("a pipe takes %s times as long for a message of 4 KiB, %s for one of 64 KiB")},
	{"E", "POSIX aio is 9.8 times slower than pread on 4 KiB in memory.",
		[]measure{{"Copy/lang=c/size=4096/access=read/pattern=rand", "aio aio_read+aio_suspend", "libc pread", ""}}, atLeast(9), "", times("%s times the time of pread")},
	{"E", "malloc recycles pages 200 to 450 times as fast as sbrk up and down.",
		[]measure{{"Allocate/lang=c/size=65536", "sbrk sbrk+sbrk", "malloc malloc+free", ""}}, atLeastOrLess(200), "", times("sbrk takes %s times as long at 64 KiB, each page touched")},
}

// A settled claim has its figures.
type settled struct {
	claim
	verdict claimVerdict
	text    string
	rows    []string
	missing string // why there is no verdict
}

func settle(r *report, c claim) settled {
	s := settled{claim: c}
	var values []float64
	for _, m := range c.measures {
		f, err := m.of(r)
		if err != nil {
			s.missing = err.Error()
			return s
		}
		values = append(values, f.value)
		if row := f.group.langName() + " " + f.group.place(); !slices.Contains(s.rows, row) {
			s.rows = append(s.rows, row)
		}
	}
	s.verdict, s.text = c.judge(values), c.figures(values)
	return s
}
