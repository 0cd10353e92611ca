module example.com/mapview

go 1.24
