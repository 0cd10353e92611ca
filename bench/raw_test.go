package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A rawVariant is what the raw text tells of one variant, round by round.
type rawVariant struct {
	keys   map[string]string // and the name of the block as "name"
	values map[string][]float64
}

// readRaw takes the raw text apart. The report does it for itself, in report/.
func readRaw(t *testing.T, text string) (variants []*rawVariant) {
	t.Helper()
	known := map[string]*rawVariant{}
	for _, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(line, "Benchmark") {
			continue
		}
		v := known[fields[0]]
		if v == nil {
			v = &rawVariant{map[string]string{}, map[string][]float64{}}
			known[fields[0]], variants = v, append(variants, v)
			name := fields[0][:strings.LastIndexByte(fields[0], '-')]
			for i, part := range strings.Split(strings.TrimPrefix(name, "Benchmark"), "/") {
				key, value, _ := strings.Cut(part, "=")
				if i == 0 {
					key, value = "name", part
				}
				v.keys[key] = value
			}
		}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			v.values[fields[i+1]] = append(v.values[fields[i+1]], value)
		}
	}
	return variants
}

func TestSamplesComeBackFromTheRawText(t *testing.T) {
	b := &block{name: "Write", size: 1024, variants: []variant{{impl: "mapview", op: "WriteAt"},
		{impl: "memory", op: "copy", goroutines: 2, again: true}}}
	var text bytes.Buffer
	err := writeSamples(&text, b, [][]sample{
		{{ops: 10, time: 200 * time.Microsecond, bytes: 8, allocs: 2}, {ops: 1, time: time.Microsecond}},
		{{ops: 10, time: 400 * time.Microsecond}, {ops: 1, time: time.Microsecond}},
	})
	if err != nil {
		t.Fatal(err)
	}
	variants := readRaw(t, text.String())
	if k := variants[1].keys; k["name"] != "Write" || k["lang"] != "go" || k["size"] != "1024" || k["again"] != "1" {
		t.Errorf("%v", k)
	}
	values := variants[0].values
	if fmt.Sprint(values["ns/op"], values["B/op"], values["allocs/op"]) != "[20000 40000] [8 0] [2 0]" {
		t.Errorf("%v", values)
	}
	if mbs := values["MB/s"][0]; mbs != 25600 { // 512 000 bytes in 20 us
		t.Errorf("%v MB/s", mbs)
	}
	if mbs := variants[1].values["MB/s"][0]; mbs != 1024000 { // and by each of two in 1 us
		t.Errorf("%v MB/s of two goroutines", mbs)
	}
}
