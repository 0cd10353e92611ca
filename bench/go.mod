module example.com/mapview/bench

go 1.24

require (
	example.com/mapview v0.0.0
	github.com/edsrzf/mmap-go v1.2.0
	github.com/go-mmap/mmap v0.7.0
	github.com/tysonmote/gommap v0.0.3
	golang.org/x/exp v0.0.0-20250620022241-b7579e27df2b
	golang.org/x/sys v0.33.0
)

require (
	github.com/aclements/go-moremath v0.0.0-20210112150236-f10218a38794 // indirect
	golang.org/x/perf v0.0.0-20250605212013-b481878a17be // indirect
)

replace example.com/mapview => ../

tool golang.org/x/perf/cmd/benchstat
