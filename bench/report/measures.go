// measures.go finds figures in a report: the claims, the decisions and the charts
// name what they want, and the figures are computed.

package main

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// A missing figure is one whose row or variant the run does not have.
type missing string

func (m missing) Error() string { return string(m) }

// blocks returns the blocks of "Row/lang=c/size=64/pattern=rand": those of that name
// which have all of the keys.
func (r *report) blocks(want string) (found []*group) {
	parts := strings.Split(want, "/")
	for _, g := range r.groups {
		its := strings.Split(g.id, "/")
		if its[0] == parts[0] && !slices.ContainsFunc(parts[1:], func(key string) bool { return !slices.Contains(its[1:], key) }) {
			found = append(found, g)
		}
	}
	return found
}

func (r *report) block(want string) (*group, error) {
	found := r.blocks(want)
	if len(found) == 0 {
		return nil, missing("the run has no block " + want)
	}
	for _, g := range found { // where there is a choice, the same in every run
		if g.keys["processors"] == "far" {
			return g, nil
		}
	}
	return found[0], nil
}

// pick returns the fastest variant whose name fits one of the patterns, "mmap *" or
// "libc pread|libc read".
func (g *group) pick(patterns string) (*series, error) {
	var best *series
	for _, s := range g.series {
		for _, pattern := range strings.Split(patterns, "|") {
			// A * may stand for a / too, but no name has one.
			if ok, _ := path.Match(pattern, s.String()); ok && !s.again && (best == nil || s.ns() < best.ns()) {
				best = s
			}
		}
	}
	if best == nil {
		return nil, missing(fmt.Sprintf("%s has no variant %s", g.id, patterns))
	}
	return best, nil
}

// A measure is one figure: how much longer over takes than under in a block, or,
// without under, the median of over's unit.
type measure struct {
	block       string
	over, under string
	unit        string // default ns/op
}

// A figure is a measure with its value.
type figure struct {
	measure
	value float64
	ratio ratio // where there is an under
	group *group
	names [2]string // of the variants that were found
}

func (m measure) of(r *report) (figure, error) {
	f := figure{measure: m}
	g, err := r.block(m.block)
	if err != nil {
		return f, err
	}
	over, err := g.pick(m.over)
	if err != nil {
		return f, err
	}
	f.group, f.names[0] = g, spelled(over)
	unit := m.unit
	if unit == "" {
		unit = "ns/op"
	}
	if over.values[unit] == nil {
		return f, missing(fmt.Sprintf("%s: %v has no %s", g.id, over, unit))
	}
	if m.under == "" {
		f.value = median(over.values[unit])
		return f, nil
	}
	under, err := g.pick(m.under)
	if err != nil {
		return f, err
	}
	if under.values[unit] == nil {
		return f, missing(fmt.Sprintf("%s: %v has no %s", g.id, under, unit))
	}
	f.names[1] = spelled(under)
	if unit != "ns/op" { // counts may be 0
		f.value = median(over.values[unit]) / max(median(under.values[unit]), 1)
		f.ratio = ratio{low: f.value, middle: f.value, high: f.value}
		return f, nil
	}
	f.ratio, err = g.ratio(over, under)
	f.value = f.ratio.middle
	return f, err
}

// timeText writes nanoseconds with three digits.
func timeText(ns float64) string {
	switch {
	case ns < 999.5:
		return short3(ns) + " ns"
	case ns < 999.5e3:
		return short3(ns/1e3) + " us"
	case ns < 999.5e6:
		return short3(ns/1e6) + " ms"
	}
	return short3(ns/1e9) + " s"
}
