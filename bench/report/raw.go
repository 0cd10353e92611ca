// raw.go reads the Go benchmark text format, which the runners write: so benchstat
// reads the same files as our own tables.
//
// A line is one variant's part of one round, and the rounds are in order: the
// k-th line of every variant of a block comes from the same round. So whoever
// doubts a ratio of the table can work it out again. Further runs are appended.

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// What begins the lines that are nothing to benchstat.
const (
	skipLine  = "SKIPPED " // what was not measured, and why
	rowLine   = "Row "     // a block's name, a tab, its title
	stateLine = "State "   // a block's name, a tab, what was prepared and verified
	dateLine  = "DATE "    // when a process was started, which has printed what follows
	partLine  = "PART "    // ends what a process has printed
	wholeLine = "WHOLE "   // the last line of a file in a raw folder: see drive.go
)

// A report is what the raw files hold.
type report struct {
	config  map[string]string
	groups  []*group
	skips   []string
	dates   []string
	process int               // how many have printed something
	titles  map[string]string // by the name of the block
	states  map[string]string
}

func newReport() *report {
	return &report{config: map[string]string{}, titles: map[string]string{}, states: map[string]string{}}
}

// A group is a block as the raw files tell of it.
type group struct {
	id           string // "Read/lang=go/size=4096": its name with all keys that make it another block
	name, lang   string
	size         int
	keys         map[string]string // all of them
	title, state string
	series       []*series
}

// A series is one variant: for every unit its values, round by round.
type series struct {
	impl, op   string
	goroutines string
	again      bool
	values     map[string][]float64
	lots       []int // how many rounds each process has had
	process    int   // the last of them, of all in the raw text
}

func (s *series) String() string {
	if s.goroutines != "" {
		return s.impl + " " + s.op + ",x" + s.goroutines
	}
	return s.impl + " " + s.op
}

// readAll reads raw files and folders of them. A file of a folder has to be
// whole.
func readAll(names []string) (*report, error) {
	r := newReport()
	for _, name := range names {
		files, whole := []string{name}, false
		if info, err := os.Stat(name); err != nil {
			return nil, err
		} else if info.IsDir() {
			whole = true
			if files, err = filesOfRun(name); err != nil {
				return nil, err
			}
		}
		for _, file := range files {
			if err := r.readFile(file, whole); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return r, r.check()
}

// filesOfRun returns the raw files of a folder, in the order of the run.
func filesOfRun(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s: there is no raw text", dir)
	}
	return files, err // sorted: they are numbered
}

func (r *report) readFile(name string, whole bool) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	last, err := r.read(f)
	if err == nil && whole && !strings.HasPrefix(last, wholeLine) {
		err = fmt.Errorf("the raw text is not whole: its last line is %q", last)
	}
	return err
}

// read adds a raw text, and returns its last line.
func (r *report) read(from io.Reader) (last string, err error) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		last = lines.Text()
		if err := r.addAny(last); err != nil {
			return last, fmt.Errorf("%q: %w", last, err)
		}
	}
	return last, lines.Err()
}

func (r *report) addAny(line string) error {
	if strings.HasPrefix(line, "Benchmark") {
		return r.addLine(line)
	}
	if why, ok := strings.CutPrefix(line, skipLine); ok {
		if !slices.Contains(r.skips, why) { // in each of the runs
			r.skips = append(r.skips, why)
		}
		return nil
	}
	if date, ok := strings.CutPrefix(line, dateLine); ok {
		r.dates = append(r.dates, date)
		r.process++
		return nil
	}
	for prefix, texts := range map[string]map[string]string{rowLine: r.titles, stateLine: r.states} {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			name, text, ok := strings.Cut(rest, "\t")
			if !ok || !strings.HasPrefix(name, "Benchmark") {
				return fmt.Errorf("not a block's name, a tab and a text")
			}
			texts[blockID(nameKeys(name))] = text
			return nil
		}
	}
	key, value, ok := strings.Cut(line, ": ")
	if ok && key != "" && unicode.IsLower(rune(key[0])) && !strings.Contains(key, " ") {
		r.config[key] = value
	}
	return nil
}

func (r *report) addLine(line string) error {
	fields := strings.Fields(line)
	if len(fields) < 4 || len(fields)%2 != 0 {
		return fmt.Errorf("not a benchmark line")
	}
	name := fields[0]
	dash := strings.LastIndexByte(name, '-')
	if dash < 0 {
		return fmt.Errorf("no number of processors")
	}
	g, s, err := r.find(nameKeys(name[:dash]))
	if err != nil {
		return err
	}
	for i := 2; i < len(fields); i += 2 {
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return err
		}
		if fields[i+1] == "ns/op" && !(value > 0) {
			return fmt.Errorf("an op of %s takes no time", g.id)
		}
		s.values[fields[i+1]] = append(s.values[fields[i+1]], value)
	}
	if len(s.values["ns/op"]) == 0 {
		return fmt.Errorf("no ns/op")
	}
	if len(s.lots) == 0 || s.process != r.process {
		s.lots = append(s.lots, 0)
		s.process = r.process
	}
	s.lots[len(s.lots)-1]++
	return nil
}

// A pair is a key of a name and its value.
type pair struct{ key, value string }

// nameKeys takes "BenchmarkRead/lang=go/size=4096" apart.
func nameKeys(name string) []pair {
	parts := strings.Split(strings.TrimPrefix(name, "Benchmark"), "/")
	pairs := []pair{{"name", parts[0]}}
	for _, part := range parts[1:] {
		key, value, _ := strings.Cut(part, "=")
		pairs = append(pairs, pair{key, value})
	}
	return pairs
}

// The keys that tell variants of one block apart.
var variantKeys = []string{"impl", "op", "again", "goroutines"}

func blockID(pairs []pair) string {
	id := pairs[0].value
	for _, p := range pairs[1:] {
		if !slices.Contains(variantKeys, p.key) {
			id += "/" + p.key + "=" + p.value
		}
	}
	return id
}

func (r *report) find(pairs []pair) (*group, *series, error) {
	keys := map[string]string{}
	for _, p := range pairs {
		keys[p.key] = p.value
	}
	g := r.group(blockID(pairs))
	if g == nil {
		g = &group{id: blockID(pairs), name: keys["name"], lang: keys["lang"], keys: keys}
		if text, ok := keys["size"]; ok {
			size, err := strconv.Atoi(text)
			if err != nil {
				return nil, nil, err
			}
			g.size = size
		}
		r.groups = append(r.groups, g)
	}
	want := series{impl: keys["impl"], op: keys["op"], goroutines: keys["goroutines"], again: keys["again"] != ""}
	for _, s := range g.series {
		if s.String() == want.String() && s.again == want.again {
			return g, s, nil
		}
	}
	want.values = map[string][]float64{}
	g.series = append(g.series, &want)
	return g, &want, nil
}

func (r *report) group(id string) *group {
	for _, g := range r.groups {
		if g.id == id {
			return g
		}
	}
	return nil
}

// check gives the groups their titles and states, and refuses a block of which
// lines are missing: its rounds would no longer be those of one moment.
func (r *report) check() error {
	for _, g := range r.groups {
		g.title, g.state = r.titles[g.id], r.states[g.id]
		rounds := len(g.series[0].values["ns/op"])
		for _, s := range g.series {
			if n := len(s.values["ns/op"]); n != rounds || !slices.Equal(s.lots, g.series[0].lots) {
				return fmt.Errorf("%s: %v has %d rounds, and %v has %d: lines are missing", g.id, g.series[0], rounds, s, n)
			}
		}
		if _, _, err := g.noise(); err != nil {
			return err
		}
	}
	return nil
}
