// goals.go prints the blocks of the C program goals: each is about a goal, which
// names what it is measured against, and is met in this run or not.

package main

import (
	"fmt"
	"io"
	"strings"
)

// A goal wants a row to be so many times as fast as another, or a counter to
// stay under a bound.
type goal struct {
	row     string
	factor  float64 // the least of other's time divided by row's
	other   string
	most    float64 // of the unit, where there is no other
	unit    string
	meaning string
	floor   string // the row of what the medium alone takes, where that decides
}

// A goalBlock tells what the rows of a block are about.
type goalBlock struct {
	title       string
	base, limit string // the rows that others are divided by
	goals       []goal
}

const (
	byHand  = "mmap store+msync"
	updated = 256 * 4096.0 // bytes of the pages that the scattered updates touch
)

func scatter(title string, goals ...goal) goalBlock {
	return goalBlock{"256 updates of 64 bytes all over 256 MiB, then one sync, " + title, byHand, "libc pwrite+fdatasync", goals}
}

func rewrite(title string, factor float64, meaning string) goalBlock {
	return goalBlock{"16 MiB, stored to and synced before, written from end to end again, " + title, "mmap memcpy", "memory memcpy",
		[]goal{{row: "mapview REWRITE+mv_write", factor: factor, other: "mmap memcpy", meaning: meaning}}}
}

func bulk(title string) goalBlock {
	const ours = "mapview mv_write+mv_sync"
	return goalBlock{"64 MiB in pieces of 1 MiB (O_DIRECT: 4 MiB), durable at the end, " + title, "mmap memcpy+msync", "device fdatasync,alone", []goal{
		{row: ours, factor: 1.4, other: "mmap memcpy+msync", floor: "device fdatasync,alone", meaning: "at least 1.4 times the throughput of mmap memcpy+msync"},
		{row: ours, factor: 0.9, other: "device O_DIRECT+fdatasync", meaning: "at least 0.9 times the throughput of O_DIRECT"},
	}}
}

func fewBytes(row string) goal {
	return goal{row: row, most: 2 * updated, unit: "dev-B/op", meaning: "at most twice the pages touched go to the device (2048 KiB)"}
}

var goalBlocks = map[string]goalBlock{
	"ScatterLarge": scatter("in folios of 1 MiB",
		goal{row: "mapview mv_write+mv_sync", factor: 8, other: byHand, meaning: "at least 8 times as fast as mmap store+msync"},
		fewBytes("mapview mv_write+mv_sync")),
	"ScatterSmall": scatter("in folios of 4 KiB",
		goal{row: "mapview mv_write+mv_sync", factor: 1 / 1.1, other: byHand, meaning: "never over 1.1 times the time of mmap store+msync"},
		fewBytes("mapview mv_write+mv_sync")),
	"ScatterCold": scatter("of a file out of memory",
		goal{row: "mapview mv_write+mv_sync", factor: 1 / 1.1, other: byHand, meaning: "never over 1.1 times the time of mmap store+msync"},
		goal{row: "mapview store+mv_sync", factor: 1 / 1.1, other: byHand, meaning: "the same of stores to an MV_OPEN_RANDOM view"},
		fewBytes("mapview mv_write+mv_sync"), fewBytes("mapview store+mv_sync")),
	"PrefaultLarge": {"64 MiB mapped, brought in, a byte stored to each page, in folios of 1 MiB", "mmap MAP_POPULATE", "mmap POPULATE_WRITE",
		[]goal{{row: "mapview mv_prefault", factor: 4, other: "mmap MAP_POPULATE", meaning: "at least 4 times as fast as MAP_POPULATE"}}},
	"RewriteLarge":  rewrite("in folios of 1 MiB", 5, "at least 5 times as fast as plain stores"),
	"RewriteMiddle": rewrite("in folios of 64 KiB", 2.5, "at least 2.5 times as fast as plain stores"),
	"RewriteSmall":  rewrite("in folios of 4 KiB", 1/1.1, "never over 1.1 times the time of plain stores"),
	"RangeSync": {"sync of one dirty page beside 256 others", "mmap msync", "mmap msync,alone",
		[]goal{{row: "mapview mv_sync", factor: 10, other: "mmap msync", meaning: "at least 10 times as fast as the sync of the whole file"}}},
	"BulkNew":  bulk("to a new file with its blocks"),
	"BulkOver": bulk("over a file in the page cache"),
	"Append": {"131072 records of 256 bytes behind each other, no sync", "libc write", "mmap fallocate+memcpy", []goal{
		{row: "mapview mv_append", factor: 3, other: "libc write", meaning: "at least 3 times as fast as write"},
		{row: "mapview mv_append,16MiB-steps", factor: 1 / 1.1, other: "mmap fallocate+memcpy", meaning: "never over 1.1 times the time of copies by hand that allocate the same steps"},
		{row: "mapview mv_append,ahead", factor: 6, other: "libc write", meaning: "at least 6 times as fast as write, with MV_APPEND_AHEAD"}}},
}

// growthPrefix begins the name of the blocks that differ in their file system.
const growthPrefix = "GrowthOn"

// goalBlock returns what is known of the group's goals.
func (g *group) goalBlock() (goalBlock, bool) {
	if fs, ok := strings.CutPrefix(g.name, growthPrefix); ok {
		return goalBlock{"a file with 8 MiB in use grows by 1 MiB of real blocks, on " + spelling.Replace(fs), "mmap munmap+fallocate+mmap", "libc fallocate",
			[]goal{{row: "mapview mv_resize", factor: 2, other: "mmap munmap+fallocate+mmap", meaning: "at most half the time of munmap, fallocate and mmap"}}}, true
	}
	b, ok := goalBlocks[g.name]
	return b, ok
}

// row returns the series of that name, not the second of a pair.
func (g *group) rowOf(name string) (*series, error) {
	for _, s := range g.series {
		if s.String() == name && !s.again {
			return s, nil
		}
	}
	return nil, fmt.Errorf("%s: there is no row %q", g.name, name)
}

// judge returns whether the goal is met, and by which figures.
func (g *group) judge(want goal) (bool, string, error) {
	row, err := g.rowOf(want.row)
	if err != nil {
		return false, "", err
	}
	if want.other == "" {
		if row.values[want.unit] == nil {
			return false, "not counted on this file system", nil
		}
		got := median(row.values[want.unit])
		return got <= want.most, fmt.Sprintf("%.0f KiB", got/1024), nil
	}
	other, err := g.rowOf(want.other)
	if err != nil {
		return false, "", err
	}
	r, err := ratioOf(other.values["ns/op"], row.values["ns/op"])
	if err != nil || r.median >= want.factor || want.floor == "" {
		return r.median >= want.factor, r.String(), err
	}
	text, err := g.outOfReach(want, other)
	return false, r.String() + text, err
}

// outOfReach says so if the floor itself would not meet the goal.
func (g *group) outOfReach(want goal, other *series) (string, error) {
	floor, err := g.rowOf(want.floor)
	if err != nil {
		return "", err
	}
	r, err := ratioOf(other.values["ns/op"], floor.values["ns/op"])
	if err != nil || r.median >= want.factor {
		return "", err
	}
	return fmt.Sprintf("; out of reach here, since %s is %v", want.floor, r), nil
}

func writeGoalGroup(w io.Writer, g *group, b goalBlock) error {
	fmt.Fprintf(w, "\nC, %s\n", b.title)
	fmt.Fprintf(w, "%-34s%10s%10s%9s%10s %20s %20s\n", "", "us/op", "dev KiB", "faults", "p99.9 ns", "x "+opOf(b.base), "x "+opOf(b.limit))
	for _, s := range g.series {
		if s.again {
			continue
		}
		first, err := g.against(s, by("", b.base))
		if err != nil {
			return err
		}
		last, err := g.against(s, by("", b.limit))
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%-34s%10.1f%10s%9s%10s %20s %20s\n", spelling.Replace(s.String()), median(s.values["ns/op"])/1000,
			scaled(s, "dev-B/op", 1024), scaled(s, "faults/op", 1), scaled(s, "p99.9-ns", 1), first, last)
	}
	noise, s, err := g.noise()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "noise: %s, measured twice (A/A) %v, %d rounds%s\n", spelling.Replace(s.String()), noise, len(s.values["ns/op"]), g.state())
	for _, want := range b.goals {
		met, figures, err := g.judge(want)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s: %s: %s: %s\n", verdict(met), spelling.Replace(want.row), want.meaning, figures)
	}
	return nil
}

func verdict(met bool) string {
	if met {
		return "goal met"
	}
	return "goal NOT MET"
}

// opOf is a row's name without whose it is, as far as a column has room.
func opOf(row string) string {
	_, op, _ := strings.Cut(row, " ")
	if len(op) > 16 {
		op = op[:16]
	}
	return op
}

func scaled(s *series, unit string, by float64) string {
	if s.values[unit] == nil {
		return ""
	}
	return fmt.Sprintf("%.0f", median(s.values[unit])/by)
}

// state tells what was found when the state was verified.
func (g *group) state() string {
	for unit, text := range map[string]string{
		"folio-KiB":    "; state: folios of %s KiB, by the faults of MADV_POPULATE_WRITE",
		"cached-pages": "; state: %s pages in memory, by mincore",
	} {
		if found := scaled(g.series[0], unit, 1); found != "" {
			return fmt.Sprintf(text, found)
		}
	}
	return ""
}

// writeGoals counts the goals and repeats those that are not met.
func writeGoals(w io.Writer, r *report) error {
	met, all, rounds := 0, 0, 0
	var missed []string
	for _, g := range r.groups {
		b, _ := g.goalBlock()
		for _, want := range b.goals {
			ok, figures, err := g.judge(want)
			if err != nil {
				return err
			}
			all++
			if !strings.HasPrefix(g.name, growthPrefix) { // whose op is so short that it has more
				rounds = max(rounds, len(g.series[0].values["ns/op"]))
			}
			if ok {
				met++
			} else {
				missed = append(missed, fmt.Sprintf("%s: %s: %s", g.name, want.meaning, figures))
			}
		}
	}
	if all == 0 {
		return nil
	}
	brief := ""
	if rounds < 3 {
		brief = ", which was too short to judge by"
	}
	fmt.Fprintf(w, "\ngoals of writing: %d of %d met in this run%s\n", met, all, brief)
	for _, text := range missed {
		fmt.Fprintf(w, "  NOT MET: %s\n", text)
	}
	return nil
}
