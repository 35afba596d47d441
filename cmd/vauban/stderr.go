package main

import (
	"io"
	"os"
	"sync"
)

// console is standard error. While a run shows its progress there, what others
// print goes through it, so that lines do not tear the view.
type console struct {
	file *os.File
	mu   sync.Mutex
	lent io.Writer // nil: nobody has it
}

func (c *console) Write(text []byte) (int, error) {
	c.mu.Lock()
	to := c.lent
	c.mu.Unlock()
	if to == nil {
		to = c.file
	}
	return to.Write(text)
}

// lend sends what is printed from now on to w; nil takes it back.
func (c *console) lend(w io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lent = w
}
