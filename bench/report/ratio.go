// ratio.go compares two variants round by round.

package main

import (
	"fmt"
	"math"
	"slices"
)

// A ratio is how much longer one variant took than another: of each process the
// median of the rounds' ratios, and of these the middle (of a few processes, the median
// of all rounds); and the quartiles of all rounds.
type ratio struct {
	low, middle, high float64
	unsure            float64 // the standard error of the middle, as a part of it; +Inf: too few processes to tell
}

// ratioOf divides what two variants took in the same rounds. Not the ratio of two
// medians: that would compare moments at which the machine was not alike. lots has
// the rounds of each process: what differs from process to process, such as where in
// memory a file came to lie, does not become less by more rounds.
func ratioOf(times, others []float64, lots []int) (ratio, error) {
	if len(times) != len(others) || len(times) == 0 {
		return ratio{}, fmt.Errorf("%d rounds against %d", len(times), len(others))
	}
	rs := make([]float64, len(times))
	for i := range rs {
		rs[i] = times[i] / others[i]
	}
	var medians []float64
	for left := rs; len(lots) > 0; lots = lots[1:] {
		if lots[0] < 1 || lots[0] > len(left) {
			return ratio{}, fmt.Errorf("%d rounds are not those of the processes", len(rs))
		}
		medians = append(medians, median(left[:lots[0]]))
		left = left[lots[0]:]
	}
	middle, unsure := median(rs), math.Inf(1)
	if len(medians) >= leastLots {
		middle, unsure = middleOf(medians)
	}
	return ratio{quantile(rs, 0.25), middle, quantile(rs, 0.75), unsure}, nil
}

// leastLots is how few processes have a middle half.
const leastLots = 4

// middleOf returns the geometric mean of the middle half, and its standard error as a
// part of it: a few processes that are far off do not count. The error of a trimmed
// mean comes from the values with those cut off moved to the edges (Tukey and
// McLaughlin). Where there are two kinds of processes, and few of one so far, that says
// nothing of the other kind, so half of the error of the plain mean is the least.
func middleOf(ratios []float64) (middle, unsure float64) {
	logs := make([]float64, len(ratios))
	for i, r := range ratios {
		logs[i] = math.Log(r)
	}
	slices.Sort(logs)
	n := len(logs)
	cut := n / 4
	middle = math.Exp(mean(logs[cut : n-cut]))
	plain := deviation(logs) / math.Sqrt(float64(n))
	for i := range cut {
		logs[i], logs[n-1-i] = logs[cut], logs[n-1-cut]
	}
	kept := float64(n-2*cut) / float64(n)
	return middle, max(deviation(logs)/kept/math.Sqrt(float64(n)), plain/2)
}

// deviation is the standard deviation.
func deviation(values []float64) float64 {
	squares, center := 0.0, mean(values)
	for _, x := range values {
		squares += (x - center) * (x - center)
	}
	return math.Sqrt(squares / float64(len(values)-1))
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, x := range values {
		sum += x
	}
	return sum / float64(len(values))
}

func (r ratio) String() string {
	return fmt.Sprintf("%s (%s-%s)", short3(r.middle), short3(r.low), short3(r.high))
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
