// course.go decides how many processes a row is measured in, and what the next of
// them is to do.
//
// First there are as many as its time is planned for. In a full run there are more of
// the blocks that have a ratio which is not settled (see settle.go), until they have, or
// have taken too long.

package main

import (
	"bytes"
	"fmt"
	"slices"
)

const (
	// soundRounds is how many rounds of a block a process should have.
	soundRounds = 20

	// A row has so many processes at most, and for those beyond the plan so many
	// seconds.
	mostLots = 80
	mostMore = 75.0

	// A state that a block is about may be gone, as how far apart the processors are:
	// so many processes behind each other may find none of what is wanted.
	mostDry = 10
)

// A course is a row on its way.
type course struct {
	task
	text  bytes.Buffer // what its processes have printed
	done  int          // processes
	took  float64      // seconds
	more  float64      // of them, for processes beyond the plan
	want  int          // processes
	dry   int          // of the last of them, that had nothing that was wanted
	share float64      // seconds of each
	only  []string     // the blocks that the next process is to measure; nil: all
}

// next notes that another process is through, which took so many seconds, and plans
// the one after it.
func (c *course) next(took float64) error {
	c.done++
	c.took += took
	if c.only != nil {
		c.more += took
	}
	r := newReport()
	_, err := r.read(bytes.NewReader(c.text.Bytes()))
	if err == nil {
		err = c.plan(r)
	}
	if err != nil {
		err = fmt.Errorf("the raw text of the row %s of the %s runner: %w", c.name, c.runner.name, err)
	}
	return err
}

func (c *course) plan(r *report) error {
	if c.done == 1 && c.want > 1 {
		c.want, c.share = c.rest(r.leastRounds())
	}
	c.dry++
	if c.only == nil || slices.ContainsFunc(c.only, func(id string) bool { return r.group(id).series[0].process == r.process }) {
		c.dry = 0
	}
	if c.only == nil && c.done < c.want && !c.tooLong() {
		return nil
	}
	c.want, c.only = c.done, nil
	if !c.settles || c.done >= mostLots || c.more > mostMore || c.dry >= mostDry {
		return nil
	}
	if err := r.check(); err != nil {
		return err
	}
	var err error
	if c.only, err = r.unsettled(); len(c.only) > 0 {
		c.want++
	}
	return err
}

// rest returns how many processes there are to be in all, after the first has had so
// many rounds of a block, and the share of each that is left: a row of many blocks is
// better run in few processes than with few rounds.
func (t task) rest(rounds int) (processes int, share float64) {
	left := t.processes - 1
	if rounds < soundRounds {
		left = max(1, left*rounds/soundRounds)
	}
	return 1 + left, t.budget * float64(t.processes-1) / float64(t.processes) / float64(left)
}

// leastRounds returns how many rounds the block has that has the fewest.
func (r *report) leastRounds() int {
	if len(r.groups) == 0 {
		return soundRounds // all is skipped
	}
	least := len(r.groups[0].series[0].values["ns/op"])
	for _, g := range r.groups {
		least = min(least, len(g.series[0].values["ns/op"]))
	}
	return least
}

// tooLong tells whether another process would take a row too far over its time: where
// what it prepares takes longer than what it measures. Two are run in any case.
func (c *course) tooLong() bool {
	return c.done >= 2 && c.took*float64(c.done+1)/float64(c.done) > 1.5*c.budget
}

// timeLeft is what the planned processes need, by what those have taken that were.
func timeLeft(courses []*course) float64 {
	planned, took, left := 0.0, 0.0, 0.0
	for _, c := range courses {
		if c.only == nil {
			planned += c.share * float64(c.done)
			took += c.took
			left += c.share * float64(c.want-c.done)
		}
	}
	if planned > 0 && took > 0 {
		left *= max(took/planned, 0.5)
	}
	return left
}

// runAll lets the rows take turns until all are through.
func (d *driver) runAll(due []*course, all int) error {
	for turn := 1; len(due) > 0; turn++ {
		var left []*course
		for _, c := range due {
			status := fmt.Sprintf("turn %d, row %d of %d, ", turn, c.number, all)
			if c.only == nil {
				status += durationText(timeLeft(due)) + " left: "
			} else {
				status += fmt.Sprintf("%d rows left, for ratios that are not settled: ", len(due))
			}
			if !d.terminal {
				fmt.Fprintf(d.say, "bench: %s%s %s\n", status, c.runner.name, c.name)
			}
			if err := d.run(c, status); err != nil {
				return err
			}
			if c.done < c.want {
				left = append(left, c)
			}
		}
		due = left
	}
	return nil
}
