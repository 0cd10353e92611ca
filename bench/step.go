// step.go lets two builds of a runner take turns, round by round.

package main

import (
	"fmt"
	"os"
	"sync"
)

// BENCH_STEP=IN,OUT names two descriptors. Before each round a runner writes a
// byte to OUT, which tells that the round before it is over, and waits for one
// from IN. So whoever holds the other ends decides whose turn it is, and no two
// rounds run at the same time.
var stepEnds = sync.OnceValues(func() (ends [2]*os.File, err error) {
	text := os.Getenv("BENCH_STEP")
	if text == "" {
		return ends, nil
	}
	var in, out uintptr
	if n, err := fmt.Sscanf(text, "%d,%d", &in, &out); n != 2 {
		return ends, fmt.Errorf("BENCH_STEP is not two descriptors, IN,OUT: %q: %v", text, err)
	}
	return [2]*os.File{os.NewFile(in, "BENCH_STEP in"), os.NewFile(out, "BENCH_STEP out")}, nil
})

// step waits for the turn of this runner, if it has to take turns.
func step() error {
	ends, err := stepEnds()
	if err != nil || ends[0] == nil {
		return err
	}
	one := []byte{1}
	if _, err := ends[1].Write(one); err != nil {
		return fmt.Errorf("telling that a round is over: %w", err)
	}
	if _, err := ends[0].Read(one); err != nil {
		return fmt.Errorf("waiting for a turn: %w", err)
	}
	return nil
}
