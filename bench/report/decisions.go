// decisions.go answers "mmap or read for my case?" by figures.

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// A decision is a case with what its ways are called in a block.
type decision struct {
	when                   string
	block                  string
	mapview, mapped, plain string // patterns; "" where there is none
	advice                 string // beside what the figures say
	third                  string // what the third way is, if not read or write
}

var decisions = []decision{
	{when: "read 64 bytes here and there, in memory, the file kept open", block: "Copy/lang=c/size=64/access=read/pattern=rand",
		mapview: "mapview *", mapped: "mmap memcpy", plain: "libc pread|libc read"},
	{when: "read 4 KiB here and there, in memory", block: "Copy/lang=c/size=4096/access=read/pattern=rand",
		mapview: "mapview *", mapped: "mmap memcpy", plain: "libc pread|libc read"},
	{when: "read pieces of 1 MiB in order, in memory", block: "Copy/lang=c/size=1048576/access=read/pattern=seq",
		mapview: "mapview *", mapped: "mmap memcpy", plain: "libc pread|libc read"},
	{when: "open, read once and close a file of 4 KiB", block: "Once/lang=c/size=4096", mapview: "mapview mv_open*", mapped: "mmap *", plain: "libc *"},
	{when: "the same, of 4 MiB", block: "Once/lang=c/size=4194304", mapview: "mapview mv_open*", mapped: "mmap *", plain: "libc *"},
	{when: "read the same 4 KiB file again and again: the view is kept", block: "Once/lang=c/size=4096", mapview: "mapview kept*", plain: "libc *"},
	{when: "read 4 KiB here and there, not in memory", block: "Cold/lang=c/size=4096/pattern=rand",
		mapview: "mapview mv_read,RANDOM", mapped: "mmap memcpy*", plain: "libc pread", advice: "where the places are known, `mv_prefetch` or `MADV_WILLNEED` them all"},
	{when: "read a file from end to end, not in memory, 1 MiB each", block: "Cold/lang=c/size=1048576/pattern=seq",
		mapview: "mapview *", mapped: "mmap *", plain: "libc pread"},
	{when: "update 64 bytes here and there, no sync", block: "Update/lang=c/folio=4096/sync=none", mapview: "mapview *", mapped: "mmap store", plain: "libc pwrite"},
	{when: "256 such updates, then one sync, folios of 1 MiB", block: "ScatterLarge/lang=c", mapview: "mapview *", mapped: "mmap *", plain: "libc *",
		advice: "no plain stores"},
	{when: "append 131072 records of 256 bytes", block: "Append/lang=c", advice: "AHEAD has a thread beside; what lies in a buffer is lost with the program", mapview: "mapview *", mapped: "mmap *", plain: "libc *"},
	{when: "write 64 MiB to a new file, durable at the end", block: "BulkNew/lang=c", mapview: "mapview *", mapped: "mmap *", plain: "libc *"},
	{when: "send 64 KiB of a file to a unix socket", block: "Socket/lang=c/size=65536/socket=unix", mapview: "mapview *", mapped: "mmap *",
		plain: "sendfile *", third: "sendfile"},
	{when: "send messages of 4 KiB to another process", block: "Message/lang=c/size=4096", mapview: "mapview *", mapped: "mmap *|memfd *|posixshm *|sysv *",
		plain: "pipe *", third: "a pipe"},
}

// The implementations that need not be named in their column.
var columns = [3]string{"mapview", "mmap", "libc"}

// way says by which calls it is done, since the fastest one stands in the table.
func (s *series) way(column string) string {
	if s.impl == column {
		return spelling.Replace(s.op)
	}
	return spelled(s)
}

// A decided case is a line of the table.
type decided struct {
	decision
	cells [3]string // times
	take  string
	lack  error
}

func decide(r *report, d decision) decided {
	line := decided{decision: d}
	names := []string{"mapview", "mmap", "read/write"}
	if d.third != "" {
		names[2] = d.third
	}
	var ns [3]float64
	var found [3]*series
	var g *group
	for i, pattern := range []string{d.mapview, d.mapped, d.plain} {
		if pattern == "" {
			continue
		}
		f, err := measure{d.block, pattern, "", ""}.of(r)
		var lacks missing
		if errors.As(err, &lacks) && i == 1 && strings.Contains(err.Error(), "variant") {
			continue // no way by hand beside
		}
		if err != nil {
			line.lack = err
			return line
		}
		g = f.group
		found[i], _ = g.pick(pattern)
		ns[i], line.cells[i] = f.value, timeText(f.value)+" ("+found[i].way(columns[i])+")"
	}
	if err := relate(g, found, &ns); err != nil {
		line.lack = err
		return line
	}
	least := 0.0
	for _, x := range ns {
		if x > 0 && (least == 0 || x < least) {
			least = x
		}
	}
	var near []string
	most := least
	for i, x := range ns {
		if x > 0 && x <= 1.1*least {
			near = append(near, names[i])
		} else if x > 0 {
			most = max(most, x)
		}
	}
	line.take = "**" + strings.Join(near, " or ") + "**"
	if len(near) == 3 {
		line.take = "any"
	} else if most > least {
		line.take += fmt.Sprintf(" (the slowest: %sx)", short3(most/least))
	}
	if d.advice != "" {
		line.take += "; " + d.advice
	}
	return line
}

// relate puts in the place of the times their ratios to the first, round by round.
func relate(g *group, found [3]*series, ns *[3]float64) error {
	var first *series
	for i, s := range found {
		if s == nil {
			continue
		}
		if first == nil {
			first = s
		}
		r, err := g.ratio(s, first)
		if err != nil {
			return err
		}
		ns[i] = r.middle
	}
	return nil
}

const onceInC = "Once/lang=c"

// onceCrossover is that of a file that is opened for one use.
func onceCrossover(r *report) (size int, ok bool, err error) {
	return crossover(r, onceInC, "mapview mv_open+sum", "libc open+read*")
}

// writeCrossover tells it where the row was measured.
func writeCrossover(w io.Writer, r *report) error {
	if len(r.blocks(onceInC)) == 0 {
		return nil
	}
	size, ok, err := onceCrossover(r)
	var without missing
	if errors.As(err, &without) {
		return nil
	}
	if err != nil {
		return err
	}
	text := "read is faster at all sizes measured"
	if ok {
		text = fmt.Sprintf("read is faster below %s, a mapping from there on", bytesText(size))
	}
	_, err = fmt.Fprintf(w, "\ncrossover: a file in memory that is opened for one use (C Once): %s\n", text)
	return err
}

// crossover finds the first size from which on way takes no longer than other, and
// both times there. ok is false if there is none.
func crossover(r *report, blocks, way, other string) (size int, ok bool, err error) {
	for _, g := range sortedBySize(r.blocks(blocks)) {
		a, err := g.pick(way)
		if err != nil {
			return 0, false, err
		}
		b, err := g.pick(other)
		if err != nil {
			return 0, false, err
		}
		if x, err := g.ratio(a, b); err != nil {
			return 0, false, err
		} else if x.middle > 1 {
			ok = false
		} else if !ok {
			size, ok = g.size, true
		}
	}
	return size, ok, nil
}
