package pipeline

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"vauban/scan"
)

// logs are those of a run, in one folder: one for each image's name. The run's
// secrets do not get into them.
type logs struct {
	dir      string
	redactor func() *scan.Redactor
}

// path is where the log of an image's name is.
func (l logs) path(name string) string {
	return filepath.Join(l.dir, strings.ReplaceAll(name, "/", "_")+".log")
}

// open opens a log to append to it.
func (l logs) open(name string) (io.WriteCloser, error) {
	f, err := os.OpenFile(l.path(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening a log: %w", err)
	}
	return l.redactor().Writer(f), nil
}

func (l logs) has(name string) bool {
	_, err := os.Stat(l.path(name))
	return err == nil
}

// fail ends a log with why it went wrong. It gives the log's path, or "" when
// there is no such log.
func (l logs) fail(name string, reason error) (string, error) {
	path := l.path(name)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err == nil {
		_, err = fmt.Fprintf(f, "\nFAILED: %s\n", strings.TrimSpace(l.redactor().String(reason.Error())))
		err = errors.Join(err, f.Close())
	}
	return path, err
}
