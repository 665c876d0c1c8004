module example.com/gostuck

go 1.18
