// Program vauban-enter runs one command inside a running container of vauban's, which
// starts it from memory.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"os"

	"vauban/layers/enter"
)

func main() { os.Exit(enter.Main(os.Args[1:])) }
