// agree.go compares the ratios of two runs: figures that nobody can have again say
// nothing.

package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Two runs agree on a ratio that differs by no more than this.
const agreeWithin = 0.05

// A moved ratio is one that two runs do not agree on.
type moved struct {
	what   string
	by     float64 // 0.06: the second is 6 % higher or lower
	a, b   float64
	within bool
	known  bool // a ratio that is settled in both runs
}

// An agreement is of two runs: the ratios of mapview's variants to limit and to
// best peer that both have.
type agreement struct {
	ratios []moved // the farthest first
	count  int     // of those within agreeWithin
	noise  []moved // the medians of the A/A pairs, of both runs
}

// warm tells whether a block is about memory alone. What waits for a disk, or has
// the file system find blocks, is as slow as that happens to be.
func (g *group) warm() bool {
	if slices.Contains([]string{"cold", "first", "fresh"}, g.keys["cache"]) || g.keys["sync"] != "" && g.keys["sync"] != "none" {
		return false
	}
	for _, name := range []string{"Cold", "Delayed", growthPrefix, "Append"} {
		if strings.HasPrefix(g.name, name) {
			return false
		}
	}
	for _, s := range g.series {
		for _, word := range []string{"sync", "Sync", "Flush", "O_DIRECT"} {
			if strings.Contains(s.op, word) {
				return false
			}
		}
	}
	return true
}

// warm tells whether a variant of a warm block leaves the disk alone, too.
func (s *series) warm() bool {
	return s.values["dev-B/op"] == nil || median(s.values["dev-B/op"]) == 0
}

// warmPairs calls f with each variant of mapview's and what it is compared with, the
// limit and the best peer, where that is about memory alone.
func (g *group) warmPairs(f func(s, base *series) error) error {
	if !g.warm() {
		return nil
	}
	for _, s := range g.series {
		if !ours(s) || s.again || !s.warm() {
			continue
		}
		for _, base := range []*series{g.limit(s), g.best(s, isPeer)} {
			if base == nil || !base.warm() {
				continue
			}
			if err := f(s, base); err != nil {
				return err
			}
		}
	}
	return nil
}

func agree(a, b *report) (agreement, error) {
	var all agreement
	for _, ga := range a.groups {
		gb := b.group(ga.id)
		if gb == nil || !ga.warm() {
			continue
		}
		if err := all.addNoise(ga, gb); err != nil {
			return all, err
		}
		err := ga.warmPairs(func(s, base *series) error { return all.add(ga, gb, s, base) })
		if err != nil {
			return all, err
		}
	}
	if len(all.ratios) == 0 {
		return all, fmt.Errorf("the two runs have no warm ratio in common")
	}
	slices.SortStableFunc(all.ratios, func(x, y moved) int { return cmp.Compare(math.Abs(y.by), math.Abs(x.by)) })
	return all, nil
}

func (all *agreement) addNoise(groups ...*group) error {
	for _, g := range groups {
		r, s, err := g.noise()
		if err != nil {
			return err
		}
		all.noise = append(all.noise, moved{what: g.heading() + ": " + spelled(s), by: r.middle - 1, a: r.middle, b: 1, within: math.Abs(r.middle-1) <= 0.02})
	}
	return nil
}

// add compares the ratio of s to base, which was the limit or the best peer in a.
func (all *agreement) add(ga, gb *group, s, base *series) error {
	sb, baseb := gb.named(s.String()), gb.named(base.String())
	if sb == nil || baseb == nil {
		return nil
	}
	ra, err := ga.ratio(s, base)
	if err != nil {
		return err
	}
	rb, err := gb.ratio(sb, baseb)
	if err != nil {
		return err
	}
	m := moved{what: ga.langName() + " " + ga.place() + ": " + spelled(s) + " x " + spelled(base),
		by: rb.middle/ra.middle - 1, a: ra.middle, b: rb.middle}
	m.within = math.Abs(m.by) <= agreeWithin
	m.known = s.settled(ra) && sb.settled(rb)
	if m.within {
		all.count++
	}
	all.ratios = append(all.ratios, m)
	return nil
}

func (all *agreement) sentence() string {
	quiet := 0
	for _, n := range all.noise {
		if n.within {
			quiet++
		}
	}
	known, knownWithin := 0, 0
	for _, m := range all.ratios {
		if m.known {
			known++
			if m.within {
				knownWithin++
			}
		}
	}
	return fmt.Sprintf("Two runs agree within 5 %% on %d of %d warm ratios of mapview's (median difference %s %%, the largest %s %%), "+
		"and on %d of the %d that both of them know to 1 %%; of their %d A/A pairs of warm blocks, %d lie within 2 %% of 1.", all.count, len(all.ratios),
		short3(100*all.typical()), short3(100*math.Abs(all.ratios[0].by)), knownWithin, known, len(all.noise), quiet)
}

func (all *agreement) typical() float64 {
	var by []float64
	for _, m := range all.ratios {
		by = append(by, math.Abs(m.by))
	}
	return median(by)
}

func printAgreement(w io.Writer, a, b string) error {
	ra, err := readAll([]string{a})
	if err != nil {
		return err
	}
	rb, err := readAll([]string{b})
	if err != nil {
		return err
	}
	all, err := agree(ra, rb)
	if err != nil {
		return err
	}
	for _, m := range all.ratios {
		if !m.within {
			fmt.Fprintf(w, "%+6.1f %%  %s then %s  %s\n", 100*m.by, short3(m.a), short3(m.b), m.what)
		}
	}
	for _, n := range all.noise {
		if !n.within {
			fmt.Fprintf(w, "%+6.1f %%  A/A  %s\n", 100*n.by, n.what)
		}
	}
	_, err = fmt.Fprintln(w, strings.Join(wrap(all.sentence(), tableWidth), "\n"))
	return err
}
