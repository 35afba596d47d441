package layers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"vauban/layers/enter"
)

const (
	// maxHostname is the kernel's limit, __NEW_UTS_LEN.
	maxHostname = 64
	// createTimeout is a hundred times what making a container takes.
	createTimeout = time.Minute
	// settleTimeout is a hundred times what starting systemd takes.
	settleTimeout = 5 * time.Minute
)

// ContainerOptions say what a container is to look like from inside.
type ContainerOptions struct {
	// Name is the inventory's name of the machine, and the container's host
	// name. At most 64 bytes.
	Name string
	// MachineID is the machine's own, 32 hex digits, and ships. Empty: a
	// random one is lent to the container for its life.
	MachineID string
	// HostNetwork shares the builder's network instead of a private one.
	HostNetwork bool
	// Systemd makes the image's systemd process 1, which starts the image's
	// services. Not with HostNetwork.
	Systemd bool
	// Refused gets what of the builder the container tried to reach, when it
	// ends, and how many more addresses that were. Nil: these are logged.
	Refused func(container string, refused []Refusal, more int)
	// AptLists fetches apt's package lists first when none are known.
	AptLists bool
}

// Container is a running root filesystem.
type Container struct {
	engine  *Engine
	options ContainerOptions
	id      string
	dir     string // on the builder, removed with the container
	parent  Image
	config  ocispec.ImageConfig
	root    overlay

	task    containerd.Task
	init    *os.File // a pidfd of process 1
	cgroups []string
	lent    []lentFile

	started  uint64 // when process 1 was, see enter.Spec
	entrance entrance
	filter   []unix.SockFilter // of what enters

	net     connection
	systemd systemdUnits
	apt     aptState
}

// Name is the inventory's name of the machine this container stands for.
func (c *Container) Name() string { return c.options.Name }

// MkdirTemp makes a directory on the builder that is removed with the container at
// the latest.
func (c *Container) MkdirTemp(pattern string) (string, error) { return os.MkdirTemp(c.dir, pattern) }

// Pid is that of process 1, on the builder.
func (c *Container) Pid() int { return int(c.task.Pid()) }

// ImageConfig is the run configuration of the image to be: what a step
// changes in it is committed.
func (c *Container) ImageConfig() *ocispec.ImageConfig { return &c.config }

// Parent is the image that the container started from.
func (c *Container) Parent() Image { return c.parent }

// start makes a container on parent and runs it.
func (e *Engine) start(ctx context.Context, parent Image, o ContainerOptions) (_ *Container, err error) {
	if len(o.Name) > maxHostname {
		return nil, fmt.Errorf("host name %q is longer than the kernel's %d bytes: shorten it", o.Name, maxHostname)
	}
	if o.Systemd && o.HostNetwork {
		return nil, errors.New("`init: systemd` and `network: host` exclude each other: its services would be the builder's")
	}
	c := &Container{engine: e, options: o, parent: parent, config: cloneConfig(parent.Config.Config)}
	c.id = fmt.Sprintf("%s-%s", e.run.id, strings.ToLower(rand.Text()[:8]))
	c.dir = filepath.Join(e.run.dir, c.id)
	if err := CheckCgroups(); err != nil {
		return nil, err
	}
	ctx = e.Context(ctx)
	defer func() {
		if err != nil {
			ctx, cancel := afterwards(ctx)
			defer cancel()
			err = errors.Join(fmt.Errorf("starting a container for %q: %w", o.Name, err), c.remove(ctx))
		}
	}()
	if err := e.unpacked(ctx, parent); err != nil {
		return nil, err
	}
	if err := c.prepareApt(ctx); err != nil {
		return nil, err
	}
	if err := c.create(ctx); err != nil {
		return nil, err
	}
	if err := c.furnish(ctx); err != nil {
		return nil, err
	}
	if err := c.task.Start(ctx); err != nil {
		return nil, fmt.Errorf("starting process 1: %w", err)
	}
	if err := c.settle(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// cloneConfig keeps what a step does to a configuration from the parent's.
func cloneConfig(c ocispec.ImageConfig) ocispec.ImageConfig {
	c.Env, c.Entrypoint, c.Cmd = slices.Clone(c.Env), slices.Clone(c.Entrypoint), slices.Clone(c.Cmd)
	c.Labels, c.Volumes, c.ExposedPorts = maps.Clone(c.Labels), maps.Clone(c.Volumes), maps.Clone(c.ExposedPorts)
	return c
}

// create mounts the root filesystem and makes the namespaces; nothing runs. It
// is not interrupted: a container that is half made is hard to take apart.
func (c *Container) create(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
	defer cancel()
	mounts, err := c.engine.snapshots().Prepare(ctx, c.id, c.parent.ChainID().String())
	if err != nil {
		return fmt.Errorf("preparing a snapshot of %s: %w", c.parent.Digest(), err)
	}
	if c.root, err = parseOverlay(mounts); err != nil {
		return err
	}
	if err := c.checkParent(); err != nil {
		return err
	}
	ns, err := c.userNamespace()
	if err != nil {
		return err
	}
	defer ns.release()
	if err := c.writeInside(); err != nil {
		return err
	}
	spec, err := c.options.spec(ctx, c.id, c.dir, ns, c.engine.limits, append(c.aptMounts(), c.engine.apt.mounts()...)...)
	if err != nil {
		return err
	}
	if c.filter, err = filterOf(spec); err != nil {
		return err
	}
	container, err := c.engine.client.NewContainer(ctx, c.id,
		containerd.WithContainerLabels(c.engine.labels()), containerd.WithSpec(spec))
	if err != nil {
		return fmt.Errorf("making the container's record: %w", err)
	}
	logs := filepath.Join(c.dir, "log")
	c.task, err = container.NewTask(ctx, cio.LogFile(logs),
		containerd.WithRootFS(c.root.mounts(c.engine.volatile)))
	if err != nil {
		return fmt.Errorf("making the container: %w", err)
	}
	pidfd, err := unix.PidfdOpen(c.Pid(), 0)
	if err != nil {
		return fmt.Errorf("opening process 1: %w", err)
	}
	c.init = os.NewFile(uintptr(pidfd), "pidfd")
	if c.cgroups, err = cgroupProcs(c.Pid()); err != nil {
		return err
	}
	if c.started, err = enter.StartTime(c.Pid()); err != nil {
		return err
	}
	c.entrance.dir = c.dir
	return c.root.dateRoot()
}

// furnish makes the container look like the machine it will be.
func (c *Container) furnish(ctx context.Context) error {
	sysctls, err := c.engine.sysctls()
	if err != nil {
		return err
	}
	if err := c.connect(ctx); err != nil {
		return err
	}
	if err := c.forwardProxy(); err != nil {
		return err
	}
	err = c.Inside(func() error {
		if err := mountSysctls(sysctls, c.options.Name); err != nil {
			return err
		}
		return errors.Join(c.lend(ctx), c.lendApt(), makeTmp())
	})
	if err != nil {
		return err
	}
	if !c.options.Systemd {
		return nil
	}
	return c.prepareSystemd()
}

// settle does what the machine's boot would have done before a login.
func (c *Container) settle(ctx context.Context) error {
	fill := c.fillRun
	if c.options.Systemd {
		fill = c.boot
	}
	err := c.soon(ctx, func(ctx context.Context) error {
		if err := fill(ctx); err != nil {
			return err
		}
		_, err := c.output(ctx, insideDir+"/link")
		return err
	})
	if err != nil {
		return err
	}
	return c.fetchLists(ctx)
}

// soon bounds what our scripts do with files of the image, which may have no
// end.
func (c *Container) soon(ctx context.Context, fn func(context.Context) error) error {
	late := fmt.Errorf("the container was not ready after %s: a unit or a tmpfiles.d file of the image may be a device, a pipe or have no end", settleTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, settleTimeout, late)
	defer cancel()
	err := fn(ctx)
	if err != nil && errors.Is(context.Cause(ctx), late) {
		return late
	}
	return err
}

// stop ends everything in the container, in order: TERM, ten seconds, KILL.
// It gives back what was lent.
func (c *Container) stop(ctx context.Context) error {
	if c.options.Systemd {
		c.halt(ctx)
	} else {
		c.terminate(ctx)
	}
	if err := c.destroyTask(ctx); err != nil {
		return fmt.Errorf("stopping the container of %q: %w", c.Name(), err)
	}
	c.disconnect()
	return errors.Join(c.net.proxy.stop(), c.keepApt(ctx))
}

// destroyTask may be called again, whether it failed or not. It is not
// interrupted either: containerd would lose the shim.
func (c *Container) destroyTask(ctx context.Context) error {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	container, err := c.engine.client.LoadContainer(ctx, c.id)
	if errdefs.IsNotFound(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("looking for container %s: %w", c.id, err)
	}
	return destroy(ctx, container)
}

// remove ends the container and forgets what it changed, unless the snapshot
// was committed before.
func (c *Container) remove(ctx context.Context) error {
	errs := []error{c.destroyTask(ctx)}
	c.disconnect()
	if c.systemd.cgroup != "" {
		errs = append(errs, removeCgroup(ctx, c.systemd.cgroup))
	}
	errs = append(errs, c.net.proxy.stop())
	if c.init != nil {
		c.init.Close()
	}
	if err := c.engine.snapshots().Remove(ctx, c.id); err != nil && !errdefs.IsNotFound(err) {
		errs = append(errs, fmt.Errorf("removing the snapshot of %q: %w", c.Name(), err))
	}
	return errors.Join(append(errs, removeUnmounted(c.dir), c.engine.pool.RemoveViews(c.id))...)
}

// destroy kills what runs in a container and removes its task and record.
func destroy(ctx context.Context, c containerd.Container) error {
	task, err := c.Task(ctx, nil)
	if err == nil {
		err = end(ctx, task)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("ending container %s: %w", c.ID(), err)
	}
	if err := c.Delete(ctx); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("removing container %s: %w", c.ID(), err)
	}
	return nil
}

func end(ctx context.Context, task containerd.Task) error {
	exited, err := task.Wait(ctx)
	if err != nil {
		return err
	}
	if err := task.Kill(ctx, syscall.SIGKILL, containerd.WithKillAll); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	select {
	case <-exited:
	case <-time.After(20 * time.Second):
		return errors.New("process 1 does not die")
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err = task.Delete(ctx)
	return err
}

// randomID is 32 hex digits, as machine-id(5) wants them.
func randomID() string {
	id := make([]byte, 16)
	rand.Read(id)
	return fmt.Sprintf("%x", id)
}
