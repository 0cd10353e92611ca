// variants.go knows which variants of a block are ours, which are limits, and
// which are peers, and compares them.

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The implementations that stand for a physical limit.
var limits = []string{"memory", "device", "kernel", "fault"}

func ours(s *series) bool    { return strings.HasPrefix(s.impl, "mapview") }
func isLimit(s *series) bool { return slices.Contains(limits, s.impl) }
func isPeer(s *series) bool  { return !ours(s) && !isLimit(s) }

// number returns how many do a variant's work at the same time, "" for one.
func (s *series) number() string {
	if _, n, ok := strings.Cut(s.op, ","); ok && (n == "one" || n == "two") {
		return n
	}
	return s.goroutines
}

// comparable tells whether two variants of a block do the same work.
func (g *group) comparable(a, b *series) bool {
	if g.name == "OpenClose" && a.op != b.op && isPeer(b) {
		return false // with a read between, or without
	}
	return a.number() == b.number()
}

// ratio is how much longer a took than b.
func (g *group) ratio(a, b *series) (ratio, error) {
	return g.ratioIn("ns/op", a, b)
}

// ratioIn is the same of another unit.
func (g *group) ratioIn(unit string, a, b *series) (ratio, error) {
	r, err := ratioOf(a.values[unit], b.values[unit], a.lots)
	if err != nil {
		err = fmt.Errorf("%s: %v and %v: %w", g.id, a, b, err)
	}
	return r, err
}

func (s *series) ns() float64 { return median(s.values["ns/op"]) }

// best returns the fastest of those that are comparable with s and wanted, nil if
// there is none.
func (g *group) best(s *series, wanted func(*series) bool) *series {
	var best *series
	for _, other := range g.series {
		if !other.again && wanted(other) && g.comparable(s, other) && (best == nil || other.ns() < best.ns()) {
			best = other
		}
	}
	return best
}

// limit returns the block's limit for s: the first, of which the others are
// parts.
func (g *group) limit(s *series) *series {
	for _, other := range g.series {
		if isLimit(other) && !other.again && g.comparable(s, other) {
			return other
		}
	}
	return nil
}

// named returns the variant of that name, not the second of a pair, or nil.
func (g *group) named(name string) *series {
	for _, s := range g.series {
		if s.String() == name && !s.again {
			return s
		}
	}
	return nil
}

// noise compares the A/A pair.
func (g *group) noise() (ratio, *series, error) {
	for _, s := range g.series {
		if first := g.named(s.String()); s.again && first != nil {
			r, err := g.ratio(s, first)
			return r, s, err
		}
	}
	return ratio{}, nil, fmt.Errorf("%s: no A/A pair", g.id)
}

// A loss is a peer that was faster than a variant of mapview: by more than the
// noise, and in three quarters of the rounds. A limit is no peer; the copy without
// a guard is, since it is what a program has without mapview.
type loss struct {
	g          *group
	ours, peer *series
	by         ratio
	whole      bool // every way of mapview's that does the same work loses to this peer
}

// losses returns what mapview loses in the block, for each variant the worst
// first.
func (g *group) losses() ([]loss, error) {
	noise, _, err := g.noise()
	if err != nil {
		return nil, err
	}
	var all []loss
	for _, s := range g.series {
		if !ours(s) || s.again {
			continue
		}
		var lost []loss
		for _, peer := range g.series {
			if !isPeer(peer) || peer.again || !g.comparable(s, peer) {
				continue
			}
			r, err := g.ratio(s, peer)
			if err != nil {
				return nil, err
			}
			if r.low > 1 && r.middle-1 > noise.spread() {
				lost = append(lost, loss{g: g, ours: s, peer: peer, by: r})
			}
		}
		slices.SortStableFunc(lost, func(a, b loss) int { return cmp.Compare(b.by.middle, a.by.middle) })
		all = append(all, lost...)
	}
	for i := range all {
		all[i].whole = g.allLose(all[i].ours, all[i].peer, all)
	}
	return all, nil
}

// allLose tells whether each of our ways that is comparable with s is in losses
// against the peer.
func (g *group) allLose(s, peer *series, losses []loss) bool {
	for _, other := range g.series {
		if !ours(other) || other.again || !g.comparable(s, other) || g.name == "OpenClose" && other.op != s.op {
			continue
		}
		if !slices.ContainsFunc(losses, func(l loss) bool { return l.ours == other && l.peer == peer }) {
			return false
		}
	}
	return true
}
