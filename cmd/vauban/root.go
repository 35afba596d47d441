package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"vauban/config"
	"vauban/internal/near"
	"vauban/internal/owned"
	"vauban/progress"
)

const defaultStateDir = "/var/lib/vauban"

// app holds what the global flags say.
type app struct {
	configFile string
	stateDir   string
	logLevel   string
}

func newRoot() *cobra.Command {
	a := &app{}
	root := &cobra.Command{
		Use:           "vauban",
		Short:         "Build what a fleet of network-booted machines boots",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          knownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		_, err := a.logOptions()
		return err
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		text := notANumber.ReplaceAllString(err.Error(), "it takes a number")
		return usage(fmt.Errorf("vauban: %s (see %s --help)", text, cmd.CommandPath()))
	})
	flags := root.PersistentFlags()
	flags.StringVar(&a.configFile, "config", "config.yml", "the tree of masters")
	flags.StringVar(&a.stateDir, "state", "", "where images, caches and logs are kept (VAUBAN_STATE_DIR; default "+defaultStateDir+")")
	flags.StringVar(&a.logLevel, "log-level", "info", "debug, info, warn or error")
	stage, _ := newStage(a)
	root.AddCommand(
		newBuild(a), newCI(a), stage, newPlan(a), newTree(a),
		newImages(a), newHistory(a), newPull(a), newShell(a), newDiff(a), newDrift(a), newWhich(a), newExport(a),
		newStatus(a),
		newReleases(a), newDeploy(a), newRollback(a), newEntry(a), newServe(a), newPrune(a), newBoot(a),
		newVault(a), newDoctor(a), newVersion(),
	)
	a.completions(root)
	return root
}

// notANumber is what the flags' library says of a word where a number goes.
var notANumber = regexp.MustCompile(`strconv\.Parse\w+: parsing ".*": invalid syntax`)

// knownCommand refuses what is not a command, naming near ones.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see " + cmd.CommandPath() + " --help"
	if words := cmd.SuggestionsFor(args[0]); len(words) > 0 {
		hint = near.Question(words)
	}
	return usage(fmt.Errorf("vauban: unknown command %q: %s", args[0], hint))
}

// arguments makes cobra's argument errors usage errors.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			if len(args) == 0 {
				err = errors.New("missing argument")
			}
			return usage(fmt.Errorf("vauban: %w (usage: %s)", err, cmd.UseLine()))
		}
		return nil
	}
}

// log is the log of a command that prints to stderr alone.
func (a *app) log() (*slog.Logger, error) {
	options, err := a.logOptions()
	return slog.New(slog.NewTextHandler(os.Stderr, options)), err
}

// logTo is the log of a run, which its progress shows.
func (a *app) logTo(r *progress.Reporter) (*slog.Logger, error) {
	options, err := a.logOptions()
	return slog.New(r.Handler(options)), err
}

func (a *app) logOptions() (*slog.HandlerOptions, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
		return nil, usage(fmt.Errorf("vauban: --log-level %q is none of debug, info, warn, error", a.logLevel))
	}
	return &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, attr slog.Attr) slog.Attr {
		if attr.Key == slog.TimeKey && len(groups) == 0 {
			return slog.Attr{}
		}
		return attr
	}}, nil
}

// load reads config.yml alone.
func (a *app) load() (*config.Config, error) {
	cfg, err := config.Load(a.configFile)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("vauban: %s does not exist here: change to its folder, or name it with --config FILE", a.configFile)
	}
	return cfg, usage(err)
}

// settings reads config.yml and the settings.
func (a *app) settings(log *slog.Logger) (*config.Config, config.Settings, error) {
	cfg, err := a.load()
	if err != nil {
		return nil, config.Settings{}, err
	}
	settings, err := loadSettings(log, cfg)
	return cfg, settings, err
}

// loadSettings are those of a configuration and of the environment.
func loadSettings(log *slog.Logger, cfg *config.Config) (config.Settings, error) {
	settings, overridden, err := config.LoadSettings(cfg, os.Environ())
	if err != nil {
		return config.Settings{}, usage(err)
	}
	if len(overridden) > 0 {
		log.Info(".secrets.env wins over the environment", "names", strings.Join(overridden, " "))
	}
	return settings, nil
}

// state is the state directory, which must be root's alone: what runs as root
// takes programs, images and the playbooks' mirror from it.
func (a *app) state(s config.Settings) (string, error) {
	dir, err := a.statePath(s)
	if err != nil {
		return "", err
	}
	if err := owned.Check(dir, a.trusted()...); err != nil {
		return "", usage(fmt.Errorf("vauban: checking the state directory %q (--state, VAUBAN_STATE_DIR): %w", dir, err))
	}
	return dir, nil
}

func (a *app) statePath(s config.Settings) (string, error) {
	for _, dir := range []string{a.stateDir, s.StateDir, defaultStateDir} {
		if dir != "" {
			return filepath.Abs(dir)
		}
	}
	return "", errors.New("no state directory")
}

// trusted is the owner of config.yml, who says what runs as root.
func (a *app) trusted() []int {
	info, err := os.Stat(a.configFile)
	if err != nil {
		return nil
	}
	return []int{int(info.Sys().(*syscall.Stat_t).Uid)}
}
