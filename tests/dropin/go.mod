module example.com/mapview/tests/dropin

go 1.24

require (
	example.com/mapview v0.0.0
	github.com/edsrzf/mmap-go v1.2.0
	golang.org/x/exp v0.0.0-20250620022241-b7579e27df2b
)

require golang.org/x/sys v0.0.0-20211216021012-1d35b9e2eb4e // indirect

replace example.com/mapview => ../..
