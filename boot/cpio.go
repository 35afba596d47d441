package boot

import (
	"fmt"
	"io"
)

// cpioFile is one file or directory of an archive for the kernel.
type cpioFile struct {
	name string // relative, without a leading "./"
	mode uint32 // type and permissions, as in stat(2)
	data []byte
}

const (
	cpioDir     = 0o040755
	cpioRegular = 0o100644
	cpioProgram = 0o100755
)

// writeCPIO writes an archive in the "newc" format, which the kernel unpacks
// over what an earlier archive of the same initramfs brought.
// Reference: https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
func writeCPIO(w io.Writer, files []cpioFile) error {
	out := &aligned{w: w}
	for i, file := range append(files, cpioFile{name: "TRAILER!!!"}) {
		// ino, mode, uid, gid, nlink, mtime, filesize, device and its
		// special file's numbers, the name's length with its NUL, checksum.
		fmt.Fprintf(out, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
			i+1, file.mode, 0, 0, 1, 0, len(file.data), 0, 0, 0, 0, len(file.name)+1, 0)
		io.WriteString(out, file.name+"\x00")
		out.pad()
		out.Write(file.data)
		out.pad()
	}
	return out.err
}

// aligned is a writer that knows how far it is from a multiple of four, and
// keeps the first error.
type aligned struct {
	w   io.Writer
	n   int64
	err error
}

func (a *aligned) Write(p []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	n, err := a.w.Write(p)
	a.n += int64(n)
	a.err = err
	return n, err
}

// pad fills up to the next multiple of four with zeros.
func (a *aligned) pad() { a.Write(make([]byte, (4-a.n%4)%4)) }
