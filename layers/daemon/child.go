package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	versionapi "github.com/containerd/containerd/api/services/version/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"

	"vauban/internal/filelock"
)

// maxLog is the size in bytes at which a new log is begun; one old log stays.
const maxLog = 8 << 20

// child is a daemon that this process started.
type child struct {
	ended chan error
}

// exit gives the error with which the child ended; nil when it found another
// daemon. Of no child it never gives anything.
func (c *child) exit() <-chan error {
	if c == nil {
		return nil
	}
	return c.ended
}

// spawn starts this program again as the daemon, in its own session and with
// nothing of this process: not its environment, which may hold secrets, nor
// its open files, which may be a pipe that somebody waits on.
func (p paths) spawn(o Options) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	log, err := p.openLog()
	if err != nil {
		return nil, fmt.Errorf("opening containerd's log: %w", err)
	}
	defer log.Close()
	linger := o.linger
	if linger == 0 {
		linger = defaultLinger
	}
	cmd := exec.Command(self, childCommand, p.state, o.Version, linger.String())
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + p.binDir() + ":" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting containerd: %w", err)
	}
	if err := join(o.Cgroup, cmd.Process.Pid); err != nil {
		o.Log.Debug("containerd stays in the cgroup of this run", "error", err)
	}
	c := &child{ended: make(chan error, 1)}
	go func() { c.ended <- cmd.Wait() }()
	return c, nil
}

// join moves a process to a cgroup. What ends the service or the session that
// a run belongs to would else end the containerd of all runs, and leave the
// containers without one.
func join(cgroup string, pid int) error {
	if cgroup == "" {
		return nil
	}
	if err := os.MkdirAll(cgroup, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(cgroup, "cgroup.procs"), strconv.AppendInt(nil, int64(pid), 10), 0)
}

// linkShim lets containerd find the shim, which it looks for by name in its
// PATH: it is this program too. Every run does it, as the program that the
// daemon was started from may be gone.
func (p paths) linkShim(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	link := filepath.Join(p.binDir(), shimName)
	if old, err := os.Readlink(link); err == nil && old == self {
		return nil
	}
	temporary := link + ".new"
	lock, err := filelock.Open(ctx, link+".lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := errors.Join(os.Symlink(self, temporary), os.Rename(temporary, link)); err != nil {
		return fmt.Errorf("linking the shim: %w", err)
	}
	return nil
}

func (p paths) openLog() (*os.File, error) {
	if info, err := os.Stat(p.log()); err == nil && info.Size() > maxLog {
		if err := os.Rename(p.log(), p.log()+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return os.OpenFile(p.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// lastWords is what an error says about the log.
func (p paths) lastWords() string {
	const enough, trace = 600, 256 << 10
	words := ""
	if f, err := os.Open(p.log()); err == nil {
		defer f.Close()
		if info, err := f.Stat(); err == nil {
			tail := io.NewSectionReader(f, max(0, info.Size()-trace), trace)
			text, _ := io.ReadAll(tail)
			text = withoutTrace(text)
			words = ": " + string(bytes.TrimSpace(text[max(0, len(text)-enough):]))
		}
	}
	return fmt.Sprintf(" (its log is %q)%s", p.log(), words)
}

// crash is where Go begins to print what its goroutines did.
var crash = regexp.MustCompile(`(?m)^(panic: |fatal error: |unexpected fault address |SIG[A-Z]+: |goroutine \d+ )`)

// withoutTrace cuts a crash off after its first line: the rest is in the log.
func withoutTrace(text []byte) []byte {
	at := crash.FindIndex(text)
	if at == nil {
		return text
	}
	line, _, _ := bytes.Cut(text[at[0]:], []byte{'\n'})
	return text[:at[0]+len(line)]
}

// answers says whether a containerd serves on a socket.
func answers(ctx context.Context, socket string) bool {
	// gRPC would wait a second before it tries again: ask the socket first.
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return false
	}
	conn.Close()
	client, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return false
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err = versionapi.NewVersionClient(client).Version(ctx, &emptypb.Empty{})
	return err == nil
}
