// rounds.go times the variants of a block side by side.
//
// The machine is never quiet: a neighbour, a timer or the clock speed changes
// how long the same work takes. So nothing is timed alone. A round runs every
// variant once, for about a millisecond and a half each, and only the ratios
// within a round count: what disturbs a round disturbs all its variants.

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	accesses  = 500 // reads or writes in one op, as in the notes
	roundTime = 1500 * time.Microsecond
	minRounds = 20
	fewRounds = 5 // where one takes longRound or more, as some with a sync do
	longRound = 100 * time.Millisecond
)

// A variant is one way to do the op of its block.
type variant struct {
	impl, op string
	again    bool // the second of the A/A pair

	// pass does one op, or block.each of them. What buf and stride are is told
	// at loop.
	pass func(buf []byte, stride int) error

	// readBack fills into with what the passes have written (write blocks).
	readBack func(into []byte) error

	// goroutines that do the pass at the same time; 0: the one that measures.
	goroutines int

	cold coldOpener // what a block of cold reads has in place of a pass

	tally *tally // what the passes of a published variant came back with

	trace *trace // where the passes of a block of single accesses go
}

func (v *variant) String() string { return v.impl + " " + v.op }

// A check decides whether the passes moved the bytes that they should have.
// None of its time is measured.
type check interface {
	whole(v *variant) error          // runs one op and looks at every byte of it
	before(v *variant)               // sets up for the passes of a round
	after(v *variant, ops int) error // looks at what those passes did
	buffers() [][]byte               // what the passes of a round are given: one a goroutine
}

// A block is a part of a row: variants that do the same work.
type block struct {
	name     string
	size     int    // bytes of one access
	keys     string // what else its name tells: "/pattern=rand/cache=resident"
	title    string // one phrase
	state    string // what was prepared, and verified
	each     int    // the accesses of a pass are ops of their own; 0: a pass is one op
	variants []variant
	check    check
	cold     *coldFile // or what is read cold: see measureCold
	resources
}

// A sample is one variant's part of one round.
type sample struct {
	ops           int
	time          time.Duration
	bytes, allocs uint64 // allocated a op
	tally         tally
	faults        int64                         // of all passes, with those of the runtime
	deviceBytes   float64                       // that its counter moved on by
	latency       [len(quantiles)]time.Duration // of a cold block: see quantiles
	gap           time.Duration                 // of a cold block: the longest but one in a hundred between two looks at the clock
}

// measure checks every variant, times them in rounds for about budget, checks
// them again and returns samples[round][variant].
func (b *block) measure(budget time.Duration, onRound func(round, of int)) ([][]sample, error) {
	if b.cold != nil {
		return b.measureCold(budget, onRound)
	}
	if err := b.checkAll(); err != nil {
		return nil, err
	}
	ops := make([]int, len(b.variants))
	for k := range b.variants {
		var err error
		if ops[k], err = b.calibrate(&b.variants[k]); err != nil {
			return nil, fmt.Errorf("%v: %w", &b.variants[k], err)
		}
	}
	take := func(k int) (sample, error) { return b.sample(&b.variants[k], ops[k]) }
	start := time.Now()
	if _, err := b.round(0, take); err != nil { // the warm-up, thrown away
		return nil, err
	}
	least, likely := roundsIn(budget, time.Since(start))
	var samples [][]sample
	for start := time.Now(); len(samples) < least || time.Since(start) < budget; {
		onRound(len(samples), max(likely, len(samples)))
		round, err := b.round(len(samples), take)
		if err != nil {
			return nil, err
		}
		samples = append(samples, round)
	}
	return samples, b.checkAll()
}

func (b *block) checkAll() error {
	for k := range b.variants {
		v := &b.variants[k]
		if err := b.check.whole(v); err != nil {
			return fmt.Errorf("%v: %w", v, err)
		}
	}
	return nil
}

// calibrate returns how many ops of v fill a round, on one goroutine: that
// several do not get their processors at once must not make the rounds short.
func (b *block) calibrate(v *variant) (int, error) {
	alone := *v
	alone.goroutines = 0
	for ops := 1; ; ops *= 2 {
		s, err := b.sample(&alone, ops)
		if err != nil {
			return 0, err
		}
		if s.time >= roundTime/4 {
			return max(1, int(float64(ops)*float64(roundTime)/float64(s.time))), nil
		}
	}
}

// roundsIn returns how many rounds have to be, and how many it will likely be,
// where one took that long.
func roundsIn(budget, one time.Duration) (least, likely int) {
	least = minRounds
	if one >= longRound {
		least = fewRounds
	}
	return least, max(least, int(budget/max(one, 1)))
}

// round takes one sample of each variant, in an order of its own.
func (b *block) round(r int, take func(k int) (sample, error)) ([]sample, error) {
	if err := step(); err != nil {
		return nil, err
	}
	samples := make([]sample, len(b.variants))
	for _, k := range order(r, len(b.variants)) {
		var err error
		if samples[k], err = take(k); err != nil {
			return nil, fmt.Errorf("round %d: %v: %w", r, &b.variants[k], err)
		}
	}
	return samples, nil
}

// order returns the order of n variants in a round: shuffled, not rotated, since
// what a variant finds in the caches is what the one before it has left there, and
// none must have the same one before it always. It is the same in every run. Of
// several processes each says by BENCH_LOT which it is, and has orders of its own.
func order(round, n int) []int {
	lot, _ := strconv.ParseUint(os.Getenv("BENCH_LOT"), 10, 32)
	return rand.New(rand.NewPCG(uint64(round), 1+lot)).Perm(n)
}

// sample times ops passes of v on each of its goroutines.
func (b *block) sample(v *variant, ops int) (sample, error) {
	b.check.before(v)
	s, err := v.run(b.check.buffers(), 0, ops)
	if err != nil {
		return sample{}, err
	}
	if v.tally != nil {
		s.tally = *v.tally
	}
	if c, ok := b.check.(*syncCheck); ok {
		s.deviceBytes = c.device.bytes() - c.was
	}
	return s, b.check.after(v, ops+1)
}

// run does ops passes. One pass before them, untimed, brings the caches back
// from the variant before.
func (v *variant) run(bufs [][]byte, stride, ops int) (sample, error) {
	if v.goroutines > 0 {
		return together(v.pass, bufs[:v.goroutines], stride, ops)
	}
	buf := bufs[0]
	was, faulted := allocated(), faults()
	if err := v.pass(buf, stride); err != nil {
		return sample{}, err
	}
	start := time.Now()
	for range ops {
		if err := v.pass(buf, stride); err != nil {
			return sample{}, err
		}
	}
	s := sample{ops: ops, time: time.Since(start), faults: faults() - faulted}
	s.allocatedSince(was, ops+1)
	return s, nil
}

// faults counts those of the process so far.
func faults() int64 { return faultsOf(unix.RUSAGE_SELF) }

func faultsOf(who int) int64 {
	var usage unix.Rusage
	unix.Getrusage(who, &usage)
	return usage.Minflt + usage.Majflt
}

func allocated() (m runtime.MemStats) {
	runtime.ReadMemStats(&m)
	return m
}

// allocatedSince notes what each of the passes has allocated since was.
func (s *sample) allocatedSince(was runtime.MemStats, passes int) {
	is := allocated()
	s.bytes = (is.TotalAlloc - was.TotalAlloc) / uint64(passes)
	s.allocs = (is.Mallocs - was.Mallocs) / uint64(passes)
}

// resources closes what was opened for a block, last first.
type resources struct{ undo []func() error }

func (r *resources) closeLater(f func() error) { r.undo = append(r.undo, f) }

// useProcessors gives the runtime n of them, until the block is closed.
func (r *resources) useProcessors(n int) {
	was := runtime.GOMAXPROCS(n)
	r.closeLater(func() error { runtime.GOMAXPROCS(was); return nil })
}

func (r *resources) close() error {
	var first error
	for i := len(r.undo) - 1; i >= 0; i-- {
		if err := r.undo[i](); err != nil && first == nil {
			first = err
		}
	}
	r.undo = nil
	return first
}
