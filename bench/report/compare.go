// compare.go runs two builds of the runners in turns and tells what changed beyond
// the noise.
//
//	report compare -files DIR [-pairs N] [-full] [-row NAME]... NAME=OLD,NEW...
//
// In each of several lots there are three processes: the old build, the old one
// again, and the new one. They take turns round by round. The old one again shows
// what two processes of the same program differ by here and now.

package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// leastChange is the smallest change that is told.
const leastChange = 0.03

type comparison struct {
	files string
	lots  int
	all   map[string]*compared // by block and variant
	order []string
}

// A compared variant has for each lot the median of its rounds' ratios: the new
// build to the old one, and the old one again to the old one.
type compared struct {
	group      *group
	series     *series
	new, again []float64
}

func compareCommand(w io.Writer, args []string) error {
	c := &comparison{all: map[string]*compared{}}
	flags := newFlags("compare")
	flags.StringVar(&c.files, "files", "", "")
	flags.IntVar(&c.lots, "pairs", 6, "")
	full := flags.Bool("full", false, "")
	var names manyFlag
	flags.Var(&names, "row", "")
	if err := flags.Parse(args); err != nil {
		return usageError(err.Error())
	}
	if c.files == "" || c.lots < 3 || flags.NArg() == 0 {
		return usageError("report compare needs -files, at least 3 -pairs, and NAME=OLD,NEW")
	}
	builds, rows, err := buildsAndRows(flags.Args())
	if err != nil {
		return err
	}
	if rows, err = choose(rows, names, *full); err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := goFirst(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: other programs may run in the middle of a round: only root can be before them (%v)\n", err)
	}
	for i, r := range rows {
		for lot := range c.lots {
			fmt.Fprintf(os.Stderr, "bench: row %d of %d, %s %s, lot %d of %d\n", i+1, len(rows), r.runner.name, r.name, lot+1, c.lots)
			if err := c.run(r, builds[r.runner.name], signals); err != nil {
				return err
			}
		}
	}
	return c.print(w)
}

// buildsAndRows takes the arguments apart. The rows are those that both have.
func buildsAndRows(args []string) (builds map[string][2]runner, rows []row, err error) {
	builds = map[string][2]runner{}
	for _, text := range args {
		name, programs, _ := strings.Cut(text, "=")
		old, next, ok := strings.Cut(programs, ",")
		if !ok {
			return nil, nil, usageError(fmt.Sprintf("not NAME=OLD,NEW: %q", text))
		}
		var pair [2]runner
		var lists [2][]row
		for i, program := range []string{old, next} {
			if pair[i], err = parseRunner(name + "=" + program); err != nil {
				return nil, nil, err
			}
			if lists[i], err = pair[i].rows(); err != nil {
				return nil, nil, err
			}
		}
		builds[name] = pair
		for _, r := range lists[1] {
			if slices.ContainsFunc(lists[0], func(o row) bool { return o.name == r.name }) {
				rows = append(rows, r)
			}
		}
	}
	return builds, rows, nil
}

// run measures one lot of a row.
func (c *comparison) run(r row, builds [2]runner, signals chan os.Signal) error {
	files, err := os.MkdirTemp(c.files, "bench-files.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(files)
	texts, err := c.lot(r, builds, files, signals)
	if err != nil {
		return err
	}
	reports := make([]*report, len(texts))
	for i, text := range texts {
		reports[i] = newReport()
		if _, err := reports[i].read(bytes.NewReader(text)); err != nil {
			return fmt.Errorf("%s %s: %w", r.runner.name, r.name, err)
		}
	}
	return c.add(reports[0], reports[1], reports[2])
}

// lot starts the old build twice and the new one, and has them take turns.
func (c *comparison) lot(r row, builds [2]runner, files string, signals chan os.Signal) (texts [][]byte, err error) {
	var players []*player
	for i, build := range []runner{builds[0], builds[0], builds[1]} {
		dir := filepath.Join(files, fmt.Sprint(i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		// As few rounds as there can be: then all have the same number, and the lots are many.
		p, err := startPlayer(build.command, "-dir", dir, "-row", r.name, "-seconds", "0.01")
		if err != nil {
			return nil, err
		}
		defer p.end()
		players = append(players, p)
		p.await()
	}
	done := make(chan struct{})
	go func() {
		texts, err = play(players)
		close(done)
	}()
	select {
	case <-done:
	case s := <-signals:
		for _, p := range players {
			syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
		}
		<-done
		return nil, endedBy(s.(syscall.Signal))
	}
	if err != nil {
		err = fmt.Errorf("the row %s of the %s runner: %w", r.name, r.runner.name, err)
	}
	return texts, err
}

// add pairs the rounds of the three.
func (c *comparison) add(old, again, next *report) error {
	for _, g := range old.groups {
		for _, s := range g.series {
			var medians []float64
			for _, other := range []*report{next, again} {
				o := other.seriesLike(g, s)
				if o == nil {
					break
				}
				n := min(len(s.values["ns/op"]), len(o.values["ns/op"]))
				r, err := ratioOf(o.values["ns/op"][:n], s.values["ns/op"][:n], []int{n})
				if err != nil {
					return err
				}
				medians = append(medians, r.middle)
			}
			if len(medians) != 2 {
				continue // a variant that one of them does not have
			}
			key := fmt.Sprintf("%s %v %v", g.id, s, s.again)
			if c.all[key] == nil {
				c.all[key] = &compared{group: g, series: s}
				c.order = append(c.order, key)
			}
			v := c.all[key]
			v.new, v.again = append(v.new, medians[0]), append(v.again, medians[1])
		}
	}
	return nil
}

func (r *report) seriesLike(g *group, s *series) *series {
	its := r.group(g.id)
	if its == nil {
		return nil
	}
	for _, o := range its.series {
		if o.String() == s.String() && o.again == s.again {
			return o
		}
	}
	return nil
}

// noise is the farthest that one of the lots was off between the old build and
// itself: for this variant, and for half of those of its block.
func (c *comparison) noise(v *compared) float64 {
	var block []float64
	for _, o := range c.all {
		if o.group.id == v.group.id {
			block = append(block, farthest(o.again))
		}
	}
	return max(farthest(v.again), median(block))
}

func farthest(ratios []float64) float64 {
	far := 0.0
	for _, r := range ratios {
		far = max(far, math.Abs(math.Log(r)))
	}
	return far
}

// changed tells whether the new build differs from the old one by more than the
// noise, and in all lots in the same direction.
func (c *comparison) changed(v *compared) bool {
	bound := max(leastChange, 1.25*c.noise(v))
	low, high := slices.Min(v.new), slices.Max(v.new)
	return math.Abs(math.Log(median(v.new))) > bound && (low > 1+bound/3 || high < 1/(1+bound/3))
}

func (c *comparison) print(w io.Writer) error {
	if len(c.all) == 0 {
		return fmt.Errorf("nothing was measured: no variant is in both builds")
	}
	changes, others, variants := 0, 0, 0
	var noises []float64
	for _, key := range c.order {
		v := c.all[key]
		noises = append(noises, c.noise(v))
		if !ours(v.series) {
			if c.changed(v) {
				others++
			}
			continue
		}
		variants++
		if !c.changed(v) {
			continue
		}
		changes++
		word := "slower"
		if median(v.new) < 1 {
			word = "faster"
		}
		fmt.Fprintf(w, "%s: %sx the time (%s-%s in %d lots; noise %s %%)  %s: %s\n", word, short3(median(v.new)), short3(slices.Min(v.new)),
			short3(slices.Max(v.new)), len(v.new), short3(100*c.noise(v)), v.group.langName()+" "+v.group.place(), spelled(v.series))
	}
	if changes == 0 {
		fmt.Fprintln(w, "nothing changed beyond the noise")
	}
	fmt.Fprintf(w, "%d of mapview's %d variants changed; two processes of the old build differed by %s %% (median of the variants' largest)\n",
		changes, variants, short3(100*median(noises)))
	if others > 0 {
		fmt.Fprintf(w, "%d of %d variants without mapview, whose code is the same, changed too: by so much the figures are to be doubted\n",
			others, len(c.all)-variants)
	}
	return nil
}
