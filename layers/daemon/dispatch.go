package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/manager"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/task"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"

	"vauban/layers/store"
)

const (
	childCommand = "__containerd"
	shimName     = "containerd-shim-runc-v2"
	// shimVariable is in the environment of every shim that containerd
	// starts, and of the process that the shim makes of itself.
	shimVariable = "MAX_SHIM_VERSION"
)

// Dispatch becomes containerd or its runc shim when this process was started
// as one of them, and returns true when that has ended. A program that calls
// [Start] must call Dispatch first of all, with os.Args.
func Dispatch(args []string) bool {
	switch {
	case store.Dispatch(args):
		return true
	case isShim(args, os.Getenv(shimVariable)):
		runShim()
		return true
	case len(args) == 5 && args[1] == childCommand:
		if err := runChild(args[2], args[3], args[4]); err != nil {
			fmt.Fprintln(os.Stderr, "vauban containerd:", err)
			os.Exit(1)
		}
		return true
	}
	os.Unsetenv(shimVariable) // what we start is no shim either
	return false
}

// isShim knows the shim by its name, which containerd uses, and by the
// variable together with the first flag, as the shim starts itself again by
// the executable's own name. The variable alone may be anybody's.
func isShim(args []string, variable string) bool {
	if len(args) > 0 && filepath.Base(args[0]) == shimName {
		return true
	}
	return variable != "" && len(args) > 1 && args[1] == "-namespace"
}

func runChild(stateDir, version, linger string) error {
	d, err := time.ParseDuration(linger)
	if err != nil {
		return err
	}
	p, err := makePaths(stateDir)
	if err != nil {
		return err
	}
	return p.run(context.Background(), version, d)
}

// runShim registers the one service of a shim: it would start every plugin
// that is linked in, the daemon's too.
func runShim() {
	registry.Reset()
	registry.Register(&plugin.Registration{
		Type:     plugins.TTRPCPlugin,
		ID:       "task",
		Requires: []plugin.Type{plugins.EventPlugin, plugins.InternalPlugin},
		InitFn:   newTaskService,
	})
	// The shim defines its flags among the program's.
	flag.CommandLine = flag.NewFlagSet(os.Args[0], flag.ExitOnError)
	shim.RunShim(context.Background(), manager.NewShimManager("io.containerd.runc.v2"))
}

func newTaskService(ic *plugin.InitContext) (any, error) {
	publisher, err := ic.GetByID(plugins.EventPlugin, "publisher")
	if err != nil {
		return nil, err
	}
	service, err := ic.GetByID(plugins.InternalPlugin, "shutdown")
	if err != nil {
		return nil, err
	}
	p, isPublisher := publisher.(shim.Publisher)
	s, isService := service.(shutdown.Service)
	if !isPublisher || !isService {
		return nil, errors.New("the shim's publisher or shutdown service is of an unknown type")
	}
	return task.NewTaskService(ic.Context, p, s)
}
