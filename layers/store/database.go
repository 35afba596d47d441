package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// checkCommand makes this program a check of a database.
const checkCommand = "__check-database"

// Dispatch checks a database when this process was started for that, and
// returns true. The check is a process of its own because a damaged database
// can end it: bolt reads it through memory that a short file does not have.
func Dispatch(args []string) bool {
	if len(args) != 3 || args[1] != checkCommand {
		return false
	}
	switch err := checkDatabase(args[2]); {
	case errors.Is(err, bolterrors.ErrTimeout):
		os.Exit(exitBusy)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

const (
	// exitBusy is the check's exit code when another process has the database.
	exitBusy = 3
	// turn is how long such a process is waited for.
	turn = time.Second
)

// ErrBusy is the kind of error of a database that another process has open.
var ErrBusy = errors.New("another process is using the database")

// checkDatabase reads every page of a database that no process has open.
func checkDatabase(path string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: turn})
	if err != nil {
		return err
	}
	defer db.Close()
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return db.View(func(tx *bolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("it has %d bytes of %d", info.Size(), tx.Size())
		}
		var first error
		for err := range tx.Check() { // to its end: it waits for its reader
			if first == nil {
				first = err
			}
		}
		return first
	})
}

// errDatabase is the kind of error of a database that cannot be used.
var errDatabase = errors.New("it cannot be read")

// sound checks a database in another process. A file that is missing or empty
// is sound: containerd makes it.
func sound(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	} else if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, self, checkCommand, path)
	cmd.Env = []string{"GOTRACEBACK=none"}
	cmd.Stderr = &said
	err = cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if exit, ended := errors.AsType[*exec.ExitError](err); ended {
		if exit.ExitCode() == exitBusy {
			return fmt.Errorf("%q: %w", path, ErrBusy)
		}
		return fmt.Errorf("%w: %s", errDatabase, firstLine(said.String()))
	}
	return err
}

// firstLine is what an error says, without the traces of a crash.
func firstLine(said string) string {
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "unexpected fault address") || strings.HasPrefix(line, "goroutine ") {
			continue
		}
		for _, crash := range []string{"fatal error:", "panic:", "[signal", "runtime:"} {
			if strings.HasPrefix(line, crash) {
				return "a part of it is missing"
			}
		}
		return line
	}
	return "a part of it is missing"
}

// view reads a database that is sound. A missing or empty one has nothing.
func view(path string, fn func(*bolt.Tx) error) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	} else if err != nil {
		return err
	}
	return open(path, true, func(db *bolt.DB) error { return db.View(fn) })
}

func change(path string, fn func(*bolt.Tx) error) error {
	return open(path, false, func(db *bolt.DB) error { return db.Update(fn) })
}

func open(path string, readOnly bool, fn func(*bolt.DB) error) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: readOnly, Timeout: turn})
	if errors.Is(err, bolterrors.ErrTimeout) {
		err = ErrBusy
	}
	if err != nil {
		return fmt.Errorf("opening the database %q: %w", path, err)
	}
	return errors.Join(fn(db), db.Close())
}

// bucket finds a bucket below others; nil when there is none.
func bucket(tx *bolt.Tx, names ...string) *bolt.Bucket {
	b := tx.Bucket([]byte(names[0]))
	for _, name := range names[1:] {
		if b == nil {
			return nil
		}
		b = b.Bucket([]byte(name))
	}
	return b
}

// keys are the names in a bucket, which may be nil.
func keys(b *bolt.Bucket) (names []string) {
	if b == nil {
		return nil
	}
	_ = b.ForEach(func(name, _ []byte) error { // fails only with its function
		names = append(names, string(name))
		return nil
	})
	return names
}
