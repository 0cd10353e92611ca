module example.org/guard

go 1.24

require example.com/mapview v0.0.0
