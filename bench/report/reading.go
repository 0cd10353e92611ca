// reading.go holds the goals of the Go program: against the package that Go users
// have had, and against a read of the file.

package main

import "strconv"

const (
	expRead  = "exp-mmap ReadAt"
	fileRead = "os.File ReadAt"
	ourRead  = "mapview ReadAt"
)

// goGoals are those of the blocks of that name and size, in files of that size
// where one is named.
var goGoals = []struct {
	name  string
	size  int
	set   string
	goals []goal
}{
	{"Read", 4096, "", []goal{fasterThanFile(6)}},
	{"Read", 64, "", []goal{fasterThanFile(15)}},
	{"Hot", 64, "1MiB", []goal{
		slowerThan(expRead, 2.5, "at most 2.5 times the time of x/exp/mmap, which is not safe"),
		{row: ourRead, dearer: 1.5, other: "mapview ReadAt,resident", meaning: "at most 1.5 ns more than without the look at what is in memory"}}},
	{"Hot", 4096, "1MiB", []goal{
		slowerThan(expRead, 1.2, "at most 1.2 times the time of x/exp/mmap"), slowerThanResident}},
	{"HotLarge", 4096, "256MiB", []goal{
		slowerThan(expRead, 1.1, "at most 1.1 times the time of x/exp/mmap"), slowerThanResident}},
	{"Slice", 4096, "", inPlace[1:]}, // where the call of Do counts, too
	{"Slice", 1 << 20, "", inPlace},
	{"Together", 64, "", eachAlone},
	{"Together", 4096, "", eachAlone},
	{"OpenClose", 64, "", []goal{{row: "mapview Open+Close", factor: 1 / 1.5, other: "exp-mmap Open+Close",
		meaning: "at most 1.5 times the time of x/exp/mmap"}}},
	{"Cold", 4096, "", cold},
	{"Delayed", 4096, "", cold},
}

var slowerThanResident = slowerThan("mapview ReadAt,resident", 1.05, "at most 1.05 times the time without the look at what is in memory")

var inPlace = []goal{
	{row: "mapview Do", factor: 1 / 1.05, other: "memory slice", meaning: "inside of it, at most 1.05 times the time of a plain slice"},
	{row: "mapview Slice", factor: 1 / 1.05, other: "memory slice", meaning: "at most 1.05 times the time of a plain slice"},
}

var eachAlone = []goal{{row: "mapview ReadAt,two", factor: 1 / 1.1, other: "mapview ReadAt,one", floor: "unguarded copy,two",
	meaning: "each of two goroutines takes at most 1.1 times the time of one alone"}}

var cold = []goal{
	{row: ourRead, factor: 2, other: expRead, floor: "device O_DIRECT", meaning: "at least twice the reads of x/exp/mmap"},
	{row: ourRead, factor: 2, other: expRead, unit: "p99-gap-us", floor: fileRead,
		meaning: "at most half its p99 between two looks at the clock"},
}

func slowerThan(other string, most float64, meaning string) goal {
	return goal{row: ourRead, factor: 1 / most, other: other, meaning: meaning}
}

func fasterThanFile(factor float64) goal {
	return goal{row: ourRead, factor: factor, other: fileRead, floor: "memory copy",
		meaning: "at least " + strconv.FormatFloat(factor, 'g', -1, 64) + " times as fast as os.File"}
}

// goalsOfGo leaves out what is about none of the block's rows.
func (g *group) goalsOfGo() (goals []goal) {
	for _, of := range goGoals {
		if of.name != g.name || of.size != g.size || of.set != "" && of.set != g.keys["set"] {
			continue
		}
		for _, want := range of.goals {
			if g.named(want.row) != nil || g.named(want.other) != nil {
				goals = append(goals, want)
			}
		}
	}
	return goals
}
