// Program vauban-inside is what runs inside containers of vauban's: process 1 and
// the stand-ins for commands that act on a running machine.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"os"

	"vauban/layers/inside"
)

func main() { os.Exit(inside.Main(os.Args)) }
