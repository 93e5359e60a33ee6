module vmguard.example/bench/load

go 1.26
