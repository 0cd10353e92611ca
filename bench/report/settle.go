// settle.go tells which blocks need further processes.

package main

// A warm ratio is settled when its standard error is this part of it. It takes some
// processes to know the error. What that is worth is for a second run to tell: this
// one has stopped where it was content.
const (
	settledAt   = 0.01
	settledLots = 12
)

// settled tells whether the ratio of a block's variant is known well enough.
func (s *series) settled(r ratio) bool {
	return r.unsure <= settledAt && len(s.lots) >= settledLots
}

// unsettledRatios counts the warm ratios and A/A pairs of the block that are not,
// and all of them.
func (g *group) unsettledRatios() (unsettled, all int, err error) {
	look := func(s, base *series) error {
		r, err := g.ratio(s, base)
		all++
		if !s.settled(r) {
			unsettled++
		}
		return err
	}
	if err := g.warmPairs(look); err != nil || !g.warm() {
		return 0, 0, err
	}
	_, again, err := g.noise()
	if err == nil {
		err = look(again, g.named(again.String()))
	}
	return unsettled, all, err
}

func (r *report) unsettledRatios() (unsettled, all int, err error) {
	for _, g := range r.groups {
		u, a, err := g.unsettledRatios()
		if err != nil {
			return 0, 0, err
		}
		unsettled, all = unsettled+u, all+a
	}
	return unsettled, all, nil
}

// unsettled returns the ids of the blocks that have such a ratio.
func (r *report) unsettled() (ids []string, err error) {
	for _, g := range r.groups {
		u, _, err := g.unsettledRatios()
		if err != nil {
			return nil, err
		}
		if u > 0 {
			ids = append(ids, g.id)
		}
	}
	return ids, nil
}
