package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestRatioIsTheMedianOfTheRoundsRatios(t *testing.T) {
	// The second round met a machine ten times slower. The ratios are 2, 2, 4,
	// 1 and 3; the ratio of the medians would be 40/12.
	times := []float64{20, 200, 40, 12, 36}
	others := []float64{10, 100, 10, 12, 12}
	for _, lots := range [][]int{{5}, {1, 4}, {2, 2, 1}} { // too few for a middle half
		r, err := ratioOf(times, others, lots)
		if err != nil || r.low != 2 || r.middle != 2 || r.high != 3 || !math.IsInf(r.unsure, 1) {
			t.Errorf("%v: got %v, %v", lots, r, err)
		}
	}
}

// Two of five processes are of another kind, and one of them has most of the rounds.
func TestRatioIsTheMiddleOfTheProcesses(t *testing.T) {
	times := []float64{2, 2, 9, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 100, 1}
	ones := slices.Repeat([]float64{1}, len(times))
	r, err := ratioOf(times, ones, []int{3, 2, 8, 1, 1})
	// The medians are 2, 3, 4, 100 and 1; the middle half is 2, 3 and 4.
	if want := math.Cbrt(2 * 3 * 4); err != nil || math.Abs(r.middle-want) > 1e-12 || r.low != 3 || r.high != 4 {
		t.Errorf("%v, %v: not %v", r, err, want)
	}
	if _, err := ratioOf(times, ones, []int{3, 20}); err == nil {
		t.Error("more rounds in the processes than there are")
	}
	if _, back := middleOf([]float64{1 / 2., 1 / 3., 1 / 4., 1 / 100., 1}); math.Abs(back-r.unsure) > 1e-12 {
		t.Errorf("the other way round it is less sure: %v, %v", r.unsure, back)
	}
	// Three of twelve are of another kind, by a half: that is known to no 4 %.
	if _, unsure := middleOf([]float64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1.5, 1.5, 1.5}); unsure < 0.02 {
		t.Errorf("it is sure to %v", unsure)
	}
}

// The error that is told is the one that is seen: of many runs of eight processes
// that differ by 5 %.
func TestRatioKnowsHowUnsureItIs(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var middles, errors []float64
	for range 4000 {
		processes := make([]float64, 8)
		for i := range processes {
			processes[i] = math.Exp(0.05 * random.NormFloat64())
		}
		middle, unsure := middleOf(processes)
		middles, errors = append(middles, math.Log(middle)), append(errors, unsure)
	}
	squares := 0.0
	for _, x := range middles {
		squares += x * x
	}
	if seen, told := math.Sqrt(squares/float64(len(middles))), mean(errors); told < 0.85*seen || told > 1.15*seen {
		t.Errorf("runs differ by %v, and say %v", seen, told)
	}
}

func TestRatioNeedsTheSameRounds(t *testing.T) {
	for _, pair := range [][2][]float64{{nil, nil}, {{1, 2}, {1}}} {
		if _, err := ratioOf(pair[0], pair[1], []int{len(pair[0])}); err == nil {
			t.Errorf("%v against %v: no error", pair[0], pair[1])
		}
	}
}

func TestQuantile(t *testing.T) {
	values := []float64{4, 1, 3, 2}
	for q, want := range map[float64]float64{0: 1, 0.25: 1.75, 0.5: 2.5, 0.75: 3.25, 1: 4} {
		if got := quantile(values, q); got != want {
			t.Errorf("quantile %v: %v, not %v", q, got, want)
		}
	}
	if values[0] != 4 {
		t.Error("quantile sorted its argument: rounds would no longer pair up")
	}
	if got := median([]float64{7}); got != 7 {
		t.Errorf("median of one: %v", got)
	}
}

func TestSpreadIsTheFartherQuartile(t *testing.T) {
	for r, want := range map[ratio]float64{{0.75, 1, 1.125, 0}: 0.25, {0.875, 1, 1.25, 0}: 0.25, {1.5, 2, 3, 0}: 2} {
		if got := r.spread(); got != want {
			t.Errorf("%v: %v, not %v", r, got, want)
		}
	}
}

func TestShort3(t *testing.T) {
	for x, want := range map[float64]string{0.0123: "0.012", 0.9996: "1.00", 1: "1.00", 9.996: "10.0", 12.34: "12.3", 99.96: "100", 230.4: "230"} {
		if got := short3(x); got != want {
			t.Errorf("%v: %s, not %s", x, got, want)
		}
	}
}
