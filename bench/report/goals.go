// goals.go judges the goals: each names what it is measured against, and is met in
// this run or not. Those of writing stand here.

package main

import (
	"fmt"
	"io"
	"strings"
)

// A goal wants a row to be so many times as fast as another, to take so much more
// at most, or a counter to stay under a bound.
type goal struct {
	row     string
	factor  float64 // the least of other's time divided by row's
	dearer  float64 // or the most of row's time less other's, in ns
	other   string
	most    float64 // of the unit, where there is no other
	unit    string  // "": ns/op
	meaning string
	floor   string // the row of what could be had at best, where that may decide
}

const (
	byHand  = "mmap store+msync"
	updated = 256 * 4096.0 // bytes of the pages that the scattered updates touch
)

func rewrite(factor float64, meaning string) []goal {
	return []goal{{row: "mapview REWRITE+mv_write", factor: factor, other: "mmap memcpy", meaning: meaning}}
}

var bulk = []goal{
	{row: "mapview mv_write+mv_sync", factor: 1.4, other: "mmap memcpy+msync", floor: "device fdatasync,alone",
		meaning: "at least 1.4 times the throughput of mmap memcpy+msync"},
	{row: "mapview mv_write+mv_sync", factor: 0.9, other: "device O_DIRECT+fdatasync", floor: "device fdatasync,alone",
		meaning: "at least 0.9 times the throughput of O_DIRECT"},
}

func fewBytes(row string) goal {
	return goal{row: row, most: 2 * updated, unit: "dev-B/op", meaning: "at most twice the pages touched go to the device (2048 KiB)"}
}

// The goals of a block, by its name.
var goalBlocks = map[string][]goal{
	"ScatterLarge": {
		{row: "mapview mv_write+mv_sync", factor: 8, other: byHand, meaning: "at least 8 times as fast as mmap store+msync"},
		fewBytes("mapview mv_write+mv_sync")},
	"ScatterSmall": {
		{row: "mapview mv_write+mv_sync", factor: 1 / 1.1, other: byHand, meaning: "never over 1.1 times the time of mmap store+msync"},
		fewBytes("mapview mv_write+mv_sync")},
	"ScatterCold": {
		{row: "mapview mv_write+mv_sync", factor: 1 / 1.1, other: byHand, meaning: "never over 1.1 times the time of mmap store+msync"},
		{row: "mapview store+mv_sync", factor: 1 / 1.1, other: byHand, meaning: "the same of stores to an MV_OPEN_RANDOM view"},
		fewBytes("mapview mv_write+mv_sync"), fewBytes("mapview store+mv_sync")},
	"PrefaultLarge": {{row: "mapview mv_prefault", factor: 4, other: "mmap MAP_POPULATE", meaning: "at least 4 times as fast as MAP_POPULATE"}},
	"RewriteLarge":  rewrite(5, "at least 5 times as fast as plain stores"),
	"RewriteMiddle": rewrite(2.5, "at least 2.5 times as fast as plain stores"),
	"RewriteSmall":  rewrite(1/1.1, "never over 1.1 times the time of plain stores"),
	"RangeSync":     {{row: "mapview mv_sync", factor: 10, other: "mmap msync", meaning: "at least 10 times as fast as the sync of the whole file"}},
	"BulkNew":       bulk,
	"BulkOver":      bulk,
	"Append": {
		{row: "mapview mv_append", factor: 3, other: "libc write", meaning: "at least 3 times as fast as write"},
		{row: "mapview mv_append,16MiB-steps", factor: 1 / 1.1, other: "mmap fallocate+memcpy", meaning: "never over 1.1 times the time of copies by hand that allocate the same steps"},
		{row: "mapview mv_append,ahead", factor: 6, other: "libc write", meaning: "at least 6 times as fast as write, with MV_APPEND_AHEAD"}},
}

// growthPrefix begins the name of the blocks that differ in their file system.
const growthPrefix = "GrowthOn"

// goals returns what is wanted of the block.
func (g *group) goals() []goal {
	if g.lang == "go" {
		return g.goalsOfGo()
	}
	if strings.HasPrefix(g.name, growthPrefix) {
		return []goal{{row: "mapview mv_resize", factor: 2, other: "mmap munmap+fallocate+mmap",
			meaning: "at most half the time of munmap, fallocate and mmap"}}
	}
	return goalBlocks[g.name]
}

// rowOf returns the variant of that name, not the second of a pair.
func (g *group) rowOf(name string) (*series, error) {
	if s := g.named(name); s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%s: there is no row %q", g.id, name)
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
	if want.dearer > 0 {
		more := median(differences(row.values["ns/op"], other.values["ns/op"]))
		return more <= want.dearer, fmt.Sprintf("%.2f ns", more), nil
	}
	r, err := g.ratioIn(want.in(), other, row)
	if err != nil || r.middle >= want.factor || want.floor == "" {
		return r.middle >= want.factor, r.String(), err
	}
	text, err := g.outOfReach(want, other)
	return false, r.String() + text, err
}

// in is the unit of a ratio.
func (want goal) in() string {
	if want.unit == "" {
		return "ns/op"
	}
	return want.unit
}

// differences are taken within the rounds, as ratios are.
func differences(a, b []float64) []float64 {
	ds := make([]float64, min(len(a), len(b)))
	for i := range ds {
		ds[i] = a[i] - b[i]
	}
	return ds
}

// outOfReach tells how the floor stands to the goal: where it would not meet that
// either, nobody does. A file system may have no such row.
func (g *group) outOfReach(want goal, other *series) (string, error) {
	floor := g.named(want.floor)
	if floor == nil {
		return "", nil
	}
	r, err := g.ratioIn(want.in(), other, floor)
	if err != nil || r.middle >= want.factor {
		return "", err
	}
	return fmt.Sprintf("; out of reach here, since %s is %v", spelled(floor), r), nil
}

// where names the block in the list of what is missed.
func (g *group) where() string {
	if g.lang == "go" {
		return "Go " + g.place()
	}
	return g.name
}

func (g *group) writeVerdicts(w io.Writer) error {
	for _, want := range g.goals() {
		met, figures, err := g.judge(want)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%s: %s: %s: %s", verdict(met), spelling.Replace(want.row), want.meaning, figures)
		fmt.Fprintln(w, strings.Join(wrap(text, tableWidth), "\n  "))
	}
	return nil
}

func verdict(met bool) string {
	if met {
		return "goal met"
	}
	return "goal NOT MET"
}

// writeGoals counts the goals and repeats those that are not met.
func writeGoals(w io.Writer, r *report) error {
	met, all, rounds := 0, 0, 0
	var missed []string
	for _, g := range r.groups {
		for _, want := range g.goals() {
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
				missed = append(missed, fmt.Sprintf("%s: %s: %s", g.where(), want.meaning, figures))
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
	fmt.Fprintf(w, "\ngoals: %d of %d met in this run%s\n", met, all, brief)
	for _, text := range missed {
		fmt.Fprintf(w, "  %s\n", strings.Join(wrap("NOT MET: "+text, tableWidth-2), "\n    "))
	}
	return nil
}
