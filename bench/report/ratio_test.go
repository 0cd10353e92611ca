package main

import "testing"

func TestRatioIsTheMedianOfTheRoundsRatios(t *testing.T) {
	// The second round met a machine ten times slower. The ratios are 2, 2, 4,
	// 1 and 3; the ratio of the medians would be 40/12.
	times := []float64{20, 200, 40, 12, 36}
	others := []float64{10, 100, 10, 12, 12}
	r, err := ratioOf(times, others)
	if err != nil || r != (ratio{2, 2, 3}) {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestRatioNeedsTheSameRounds(t *testing.T) {
	for _, pair := range [][2][]float64{{nil, nil}, {{1, 2}, {1}}} {
		if _, err := ratioOf(pair[0], pair[1]); err == nil {
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
	for r, want := range map[ratio]float64{{0.75, 1, 1.125}: 0.25, {0.875, 1, 1.25}: 0.25, {1.5, 2, 3}: 2} {
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
