package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"vauban/ansible"
	"vauban/ansible/repository"
	"vauban/config"
	"vauban/layers"
	"vauban/pipeline"
	"vauban/registry"
	"vauban/vault"
)

// session is what commands work with: the configuration, and what they open of
// the rest. Close closes that.
type session struct {
	log      *slog.Logger
	cfg      *config.Config
	settings config.Settings
	stateDir string
	trusted  []int              // whose directories the state directory may be in
	keyrings []string           // that config.yml trusts
	engine   *layers.Engine     // after openEngine
	registry *registry.Registry // after openRegistry
	images   pipeline.Images    // after withEngine
	opened   []io.Closer
}

// session reads the configuration and the settings; nothing is opened.
func (a *app) session() (*session, error) {
	log, err := a.log()
	if err != nil {
		return nil, err
	}
	cfg, settings, err := a.settings(log)
	if err != nil {
		return nil, err
	}
	return a.sessionOf(log, cfg, settings)
}

// sessionOf is a session with what was read already.
func (a *app) sessionOf(log *slog.Logger, cfg *config.Config, s config.Settings) (*session, error) {
	stateDir, err := a.state(s)
	return &session{log: log, cfg: cfg, settings: s, stateDir: stateDir, trusted: a.trusted(), keyrings: keyrings(cfg)}, err
}

// withEngine opens containerd and the registry for fn and closes them.
func (a *app) withEngine(cmd *cobra.Command, fn func(context.Context, *session) error) (err error) {
	ctx := cmd.Context()
	s, err := a.session()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.openEngine(ctx); err != nil {
		return err
	}
	if err := s.openRegistry(ctx); err != nil {
		return err
	}
	s.images = pipeline.Images{Engine: s.engine, Registry: s.registry, Pulling: func(reference string) {
		fmt.Fprintf(cmd.ErrOrStderr(), "pulling %s\n", reference)
	}}
	return s.explain(fn(ctx, s))
}

// Close closes what was opened, the last first.
func (s *session) Close() (err error) {
	for _, c := range slices.Backward(s.opened) {
		err = errors.Join(err, c.Close())
	}
	s.opened = nil
	return err
}

// openEngine connects to containerd.
func (s *session) openEngine(ctx context.Context) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("vauban needs root for images and containers, because it mounts filesystems: run it with sudo")
	}
	var allow []layers.Destination
	for _, d := range s.cfg.Destinations(s.settings) {
		allow = append(allow, layers.Destination(d))
	}
	set := s.settings
	s.engine, err = layers.Open(ctx, layers.Options{
		Allow:    allow,
		StateDir: s.stateDir, Above: s.trusted, Address: set.ContainerdAddress, Version: built(), Log: s.log,
		Apt: layers.AptOptions{Proxy: set.DebianAptGetProxy, AuthFile: set.AptAuthFile, Pool: set.DebianCachePath, Keyrings: s.keyrings, PoolSize: set.AptPoolMax},
		Limits: layers.Limits{Processes: set.ContainerProcesses, Memory: set.ContainerMemory, OpenFiles: set.ContainerOpenFiles,
			FileSize: set.LayerMaxFileSize, LayerSize: set.LayerMaxSize},
	})
	if err == nil {
		s.opened = append(s.opened, s.engine)
	}
	return err
}

// keyrings are the files of keys that config.yml trusts.
func keyrings(cfg *config.Config) (files []string) {
	for _, b := range cfg.Bases {
		if b.Keyring != "" {
			files = append(files, cfg.Resolve(b.Keyring))
		}
	}
	return files
}

// openRegistry opens the user's registry, or the embedded one, which shares the
// blobs of the engine if that is open.
func (s *session) openRegistry(ctx context.Context) (err error) {
	o := registry.Options{
		Hostname: s.settings.RegistryHostname, Username: s.settings.RegistryUsername, Password: s.settings.RegistryPassword.Reveal(),
		StateDir: s.stateDir, Log: s.log,
	}
	if s.engine != nil {
		o.BlobPath = s.engine.BlobPath
	}
	if s.registry, err = registry.Open(ctx, o); err == nil {
		s.opened = append(s.opened, s.registry)
	}
	return err
}

// openAnsible sets ansible up and mirrors the playbooks' repository.
func (s *session) openAnsible(ctx context.Context) (*ansible.Controller, error) {
	set := s.settings
	if set.AnsibleRepo == "" {
		return nil, usage(fmt.Errorf("vauban: no repository of playbooks is configured: set ANSIBLE_REPO, or `ansible_repo:` below `configuration:` in %s", s.cfg.Path))
	}
	factsFrom := s.cfg.Configuration.FactsFrom
	if factsFrom != "" {
		factsFrom = s.cfg.Resolve(factsFrom)
	}
	controller, err := ansible.Open(ctx, ansible.Options{
		Repository: repository.Options{
			Repo: set.AnsibleRepo, RootDir: set.AnsibleRootDir, SSHKeyFile: set.AnsibleSSHKey,
			Username: set.GitTokenUsername, Password: set.GitTokenPassword.Reveal(),
			StateDir: s.stateDir, Dir: s.cfg.Dir, Environ: config.WithoutSecrets(os.Environ()), Log: s.log,
		},
		ExtraArgs: set.AnsibleExtraArgs, Program: set.AnsiblePlaybook, Strategy: s.cfg.Configuration.AnsibleStrategy,
		HookPre: set.HookPreAnsible, HookPost: set.HookPostAnsible,
		FactsFrom: factsFrom, DelegateHosts: s.cfg.Configuration.DelegateHosts,
	})
	if err == nil {
		s.opened = append(s.opened, controller)
	}
	return controller, err
}

// vault is the store of host identities that the settings name. It is nil when
// none is set up.
func (s *session) vault() (vault.Store, error) {
	set := s.settings
	if set.VaultEngine != "vault" {
		if set.VaultedSSHDKeysKey.Reveal() == "" {
			return nil, nil
		}
		return vault.NewLocal(s.cfg.VaultDir(), set.VaultedSSHDKeysKey.Reveal()), nil
	}
	return vault.NewKV(vault.KVOptions{
		Address: set.VaultAddr, Path: set.VaultPath, Token: set.VaultToken.Reveal(),
		RoleID: set.VaultRoleID, SecretID: set.VaultSecretID.Reveal(),
	})
}
