package layers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/platforms"
	"golang.org/x/sys/unix"

	"vauban/internal/gateway"
	"vauban/layers/aptpool"
	"vauban/layers/daemon"
)

const (
	// Namespace is the containerd namespace of all that vauban keeps there.
	Namespace   = "vauban"
	snapshotter = "overlayfs"
	// systemSocket is where a containerd that the system runs listens.
	systemSocket = "/run/containerd/containerd.sock"
	// leaseLife bounds what a run that was killed keeps from being collected
	// when no later run on this machine sweeps it.
	leaseLife = 48 * time.Hour
)

// Options configure [Open].
type Options struct {
	// StateDir holds the embedded containerd and everything of a run that is
	// not an image. It must be able to hold overlay upperdirs.
	StateDir string
	// Above are users besides root who may own directories above StateDir and
	// above the pool of apt: those who are trusted, as is the owner of
	// config.yml.
	Above []int
	// Address is containerd's socket. Empty: the system's when it answers,
	// else the embedded one.
	Address string
	// Embedded leaves out the system's.
	Embedded bool
	// Version is that of this binary: an embedded daemon of another version
	// is replaced when it is idle.
	Version string
	// Apt says how apt gets its packages inside.
	Apt AptOptions
	// Allow lists addresses of the builder that containers may reach. All
	// others of it are refused.
	Allow []Destination
	// Limits are those of each container.
	Limits Limits
	// Log gets what happens. Nil discards it.
	Log *slog.Logger
}

// Engine is one run's connection to containerd. Its methods may be called
// from several goroutines.
type Engine struct {
	stateDir string
	apt      AptOptions
	pool     *aptpool.Pool
	aptKnown sourcesOf
	log      *slog.Logger
	client   *containerd.Client
	daemon   io.Closer
	run      *run
	turn     *os.File // see alone.go
	tools    tools
	limits   Limits
	entering *os.File // the program that enters containers, in memory
	inside   insideProgram
	sysctls  func() ([]sysctl, error)
	hostKeys func() ([]hostKey, error)
	// allowed are the addresses of the builder that containers may reach.
	allowed func() []gateway.Rule
	// resolvConf is the builder's, for containers that share its network.
	resolvConf []byte
	volatile   bool
	maxImport  int64 // bytes of a root filesystem that is imported; 0: see bounds
}

// Open connects to containerd, starting the embedded one if there is no
// other, takes the run's lease and sweeps what dead runs left.
func Open(ctx context.Context, o Options) (_ *Engine, err error) {
	e := &Engine{stateDir: o.StateDir, limits: o.Limits.orDefault(), apt: o.Apt, log: o.Log, sysctls: readSysctlsOnce(), hostKeys: sync.OnceValues(throwAwayKeys)}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	keepInherited()
	if err := daemon.CheckStateDir(o.StateDir, o.Above...); err != nil {
		return nil, err
	}
	if err := errors.Join(e.apt.checkProxy(), e.apt.checkAuthFile(), e.apt.checkPool(o.Above)); err != nil {
		return nil, err
	}
	if err := e.openPool(); err != nil {
		return nil, err
	}
	if e.tools, err = findTools(); err != nil {
		return nil, err
	}
	e.allowed = sync.OnceValue(func() []gateway.Rule { return e.resolve(o.Allow) })
	if e.entering, err = sealEnterProgram(); err != nil {
		return nil, err
	}
	if !hasSeccomp() {
		e.log.Warn("the kernel has no seccomp filters: containers run without one")
	}
	if err := e.connect(ctx, o); err != nil {
		return nil, err
	}
	if err := e.enter(ctx); err != nil {
		return nil, err
	}
	if e.run, err = startRun(filepath.Join(o.StateDir, "run")); err != nil {
		return nil, err
	}
	_, err = e.client.LeasesService().Create(e.context(ctx), leases.WithID(e.run.id),
		leases.WithExpiration(leaseLife), leases.WithLabels(e.labels()))
	if err != nil {
		return nil, fmt.Errorf("taking a lease in containerd: %w", err)
	}
	e.volatile = canMountVolatile(e.run.dir)
	if e.resolvConf, err = os.ReadFile("/etc/resolv.conf"); err != nil {
		return nil, fmt.Errorf("reading the builder's resolver: %w", err)
	}
	if err := e.sweep(ctx); err != nil {
		e.log.Warn("sweeping what a dead run left", "error", err)
	}
	return e, nil
}

// keepInherited keeps the files that this process inherited from those that it
// starts: a container's command could read them, and the daemon would keep a
// CI job's pipe open. Before Linux 5.11 they inherit them.
func keepInherited() {
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}

// connect finds a containerd: the configured one, the system's, our own.
func (e *Engine) connect(ctx context.Context, o Options) error {
	if o.Address != "" {
		if err := checkAddress(o.Address); err != nil {
			return err
		}
		client, err := dial(ctx, o.Address)
		if err != nil {
			return fmt.Errorf("connecting to containerd at %q (CONTAINERD_ADDRESS): %w", o.Address, err)
		}
		e.client = client
		return nil
	}
	if _, err := os.Stat(systemSocket); err == nil && !o.Embedded {
		if client, err := dial(ctx, systemSocket); err == nil {
			e.client = client
			return nil
		}
		e.log.Info("the system's containerd does not answer; using the embedded one")
	}
	d, err := daemon.Start(ctx, daemon.Options{StateDir: o.StateDir, Version: o.Version, Cgroup: daemonCgroup(), Log: e.log})
	if err != nil {
		return fmt.Errorf("starting the embedded containerd: %w", err)
	}
	e.daemon = d
	if e.client, err = dial(ctx, d.Address()); err != nil {
		return fmt.Errorf("connecting to the embedded containerd: %w", err)
	}
	return nil
}

// daemonCgroup is beside those of containers. Empty without cgroup v2.
func daemonCgroup() string {
	hierarchies, err := cgroupMounts()
	if err != nil || hierarchies[""] == "" {
		return ""
	}
	return filepath.Join(hierarchies[""], Namespace, "daemon")
}

// checkAddress tells at once what dialing would time out on.
func checkAddress(address string) error {
	info, err := os.Stat(strings.TrimPrefix(address, "unix://"))
	if err == nil && info.Mode().Type() == fs.ModeSocket {
		return nil
	}
	return fmt.Errorf("containerd has no socket at %q: correct CONTAINERD_ADDRESS, or unset it to use the system's or the embedded one", address)
}

func dial(ctx context.Context, address string) (*containerd.Client, error) {
	client, err := containerd.New(address,
		containerd.WithDefaultNamespace(Namespace),
		containerd.WithTimeout(10*time.Second),
		containerd.WithDefaultPlatform(platforms.Only(platforms.DefaultSpec())))
	if err != nil {
		return nil, err
	}
	if _, err := client.Version(ctx); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return client, nil
}

// Close ends the run: what no image refers to may be collected from now on.
func (e *Engine) Close() error {
	var errs []error
	if e.run != nil {
		errs = append(errs, e.endRun())
	}
	for _, file := range []*os.File{e.turn, e.entering} {
		if file != nil {
			errs = append(errs, file.Close())
		}
	}
	if e.client != nil {
		errs = append(errs, e.client.Close())
	}
	if e.daemon != nil {
		errs = append(errs, e.daemon.Close())
	}
	return errors.Join(errs...)
}

// endRun leaves what resists to a later run's sweep.
func (e *Engine) endRun() error {
	ctx, cancel := afterwards(context.Background())
	defer cancel()
	if err := e.forget(ctx, e.run.id); err != nil {
		return errors.Join(fmt.Errorf("ending run %q: %w", e.run.id, err), e.run.lock.Close())
	}
	return e.run.end()
}

// Store is containerd's content store, leased to this run by the context
// that [Engine.Context] gives.
func (e *Engine) Store() content.Store { return e.client.ContentStore() }

// Context returns ctx with containerd's namespace and this run's lease: what
// is written to [Engine.Store] with it stays until the run ends.
func (e *Engine) Context(ctx context.Context) context.Context {
	return leases.WithLease(e.context(ctx), e.run.id)
}

func (e *Engine) context(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, Namespace)
}

func (e *Engine) snapshots() snapshots.Snapshotter {
	return e.client.SnapshotService(snapshotter)
}

// labels mark containers and leases as this run's.
func (e *Engine) labels() map[string]string {
	return map[string]string{labelRun: e.run.id, labelState: e.stateDir}
}

// afterwards is the context of clean-up work: it outlives a cancelled ctx,
// but not for ever.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
}
