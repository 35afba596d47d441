package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"

	"vauban/internal/damage"
	"vauban/internal/filelock"
	"vauban/layers/store"
)

const (
	// defaultLinger is how long the daemon outlives the last run.
	defaultLinger = 10 * time.Second
	// patience bounds each wait for the daemon: it serves 0.2 s after its
	// start on a quiet machine.
	patience = time.Minute
	// ending is how long a daemon takes to end when no run is left.
	ending = 3 * time.Second
	// poll is the interval of waits that the kernel cannot do for us.
	poll = 20 * time.Millisecond
)

// Options configure [Start].
type Options struct {
	// StateDir holds the images, the locks and the log. See [CheckStateDir].
	StateDir string
	// Version is this vauban's. A daemon of another one is replaced.
	Version string
	// Cgroup is a folder of cgroup v2 for containerd and its shims, made when
	// it is missing. Empty: that of the run which starts them.
	Cgroup string
	// Log gets what happens. Nil discards it.
	Log *slog.Logger

	linger time.Duration // 0: defaultLinger
}

// Daemon is a run's hold on the shared containerd.
type Daemon struct {
	address string
	lock    *os.File
}

// Start joins the containerd of a state directory, starting it when there is
// none, and returns when it serves. While the Daemon is open, or until this
// process ends, containerd keeps running.
//
// When one of another version runs, Start waits until no run uses it.
func Start(ctx context.Context, o Options) (*Daemon, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p, err := makePaths(o.StateDir)
	if err != nil {
		return nil, err
	}
	if err := p.linkShim(ctx); err != nil {
		return nil, err
	}
	for {
		lock, err := filelock.OpenShared(ctx, p.lock())
		if err != nil {
			return nil, err
		}
		version, err := p.serving(ctx, o)
		if err != nil {
			return nil, errors.Join(err, lock.Close())
		}
		if version == o.Version {
			return &Daemon{address: p.socket(), lock: lock}, nil
		}
		if err := lock.Close(); err != nil {
			return nil, err
		}
		if err := p.retire(ctx, o, version); err != nil {
			return nil, fmt.Errorf("replacing the containerd of vauban %s: %w", version, err)
		}
	}
}

// Address is the absolute path of containerd's socket.
func (d *Daemon) Address() string { return d.address }

// Close ends the run's hold: containerd ends itself some seconds after the
// last one.
func (d *Daemon) Close() error { return d.lock.Close() }

// serving waits until a daemon answers, starting one when none runs, and
// returns its version. The caller holds the shared lock, so that it stays.
func (p paths) serving(ctx context.Context, o Options) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience,
		fmt.Errorf("containerd does not answer at %q", p.socket()))
	defer cancel()
	var started *child
	for {
		if answers(ctx, p.socket()) {
			return p.version()
		}
		pid, err := p.daemonPid()
		if err != nil {
			return "", err
		}
		if pid == 0 && started == nil {
			if err := p.checkStore(ctx); err != nil {
				return "", err
			}
			if started, err = p.spawn(o); err != nil {
				return "", err
			}
		}
		select {
		case err := <-started.exit():
			if err != nil {
				return "", fmt.Errorf("containerd ended: %w%s", err, p.lastWords())
			}
			started = nil // another starter's daemon was first
		case <-time.After(poll):
		case <-ctx.Done():
			return "", fmt.Errorf("waiting for containerd: %w%s", context.Cause(ctx), p.lastWords())
		}
	}
}

// checkStore finds databases that containerd would crash on, or begin again
// and contradict what is on disk.
func (p paths) checkStore(ctx context.Context) error {
	found, err := store.In(p.state).Databases(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	} else if err != nil {
		// Another starter's daemon has them, or what keeps them from being
		// read keeps containerd from starting, which says why in its log.
		return nil
	}
	return damage.In(p.state, found...)
}

// Alone keeps runs of a state directory from starting, and its daemon from
// running, until release is called. ErrBusy when a run is at work.
func Alone(ctx context.Context, stateDir string) (release func() error, err error) {
	p, err := makePaths(stateDir)
	if err != nil {
		return nil, err
	}
	lock, err := p.lockAlone(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.end(ctx); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock.Close, nil
}

// ErrBusy is returned by [Alone] while runs are at work.
var ErrBusy = errors.New("runs are at work on this state directory: try again when they have ended")

// lockAlone takes the exclusive lock. A daemon that is ending may have it for
// a moment.
func (p paths) lockAlone(ctx context.Context) (*os.File, error) {
	f, err := os.OpenFile(p.lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of runs: %w", err)
	}
	for until := time.Now().Add(ending); ; {
		alone, err := filelock.Try(f, filelock.Exclusive)
		if alone {
			return f, nil
		}
		if err == nil && time.Now().After(until) {
			err = ErrBusy
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		}
	}
}

// retire ends a daemon of another version once no run uses it.
func (p paths) retire(ctx context.Context, o Options, version string) error {
	o.Log.Info("waiting until no run uses the containerd of another vauban version",
		"running", version, "wanted", o.Version)
	lock, err := filelock.Open(ctx, p.lock())
	if err != nil {
		return err
	}
	defer lock.Close()
	return p.end(ctx)
}

// end ends the daemon. The caller has the exclusive lock: no run needs it.
func (p paths) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("it does not end"))
	defer cancel()
	for signalled := 0; ; {
		pid, err := p.daemonPid()
		if err != nil || pid == 0 {
			return err
		}
		if pid != signalled {
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("ending process %d: %w", pid, err)
			}
			signalled = pid
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return fmt.Errorf("waiting for process %d: %w", pid, context.Cause(ctx))
		}
	}
}
