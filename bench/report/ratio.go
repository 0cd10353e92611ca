// ratio.go compares two variants round by round.

package main

import (
	"fmt"
	"slices"
)

// A ratio is how much longer one variant took than another: the median of the
// rounds' ratios and their quartiles.
type ratio struct{ low, median, high float64 }

// ratioOf divides what two variants took in the same rounds. Not the ratio of
// two medians: that would compare moments at which the machine was not alike.
func ratioOf(times, others []float64) (ratio, error) {
	if len(times) != len(others) || len(times) == 0 {
		return ratio{}, fmt.Errorf("%d rounds against %d", len(times), len(others))
	}
	rs := make([]float64, len(times))
	for i := range rs {
		rs[i] = times[i] / others[i]
	}
	return ratio{quantile(rs, 0.25), quantile(rs, 0.5), quantile(rs, 0.75)}, nil
}

func (r ratio) String() string {
	return fmt.Sprintf("%s (%s-%s)", short3(r.median), short3(r.low), short3(r.high))
}

// spread is how far the quartiles lie from 1: the noise, for an A/A pair.
func (r ratio) spread() float64 { return max(1-r.low, r.high-1, 0) }

// short3 gives three digits, more before the point and fewer for small numbers.
func short3(x float64) string {
	switch {
	case x < 0.9995:
		return fmt.Sprintf("%.3f", x)
	case x < 9.995:
		return fmt.Sprintf("%.2f", x)
	case x < 99.95:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

// quantile interpolates between the two values that q lies between.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	place := q * float64(len(sorted)-1)
	i := int(place)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + (place-float64(i))*(sorted[i+1]-sorted[i])
}

func median(values []float64) float64 { return quantile(values, 0.5) }
