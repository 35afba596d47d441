package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"vauban/config"
	"vauban/pipeline"
	"vauban/pipeline/plan"
)

// stageFlags are what `stage` asks for.
type stageFlags struct {
	source, iso, name  string
	hosts, key         string
	rootfs, initramfs  yesNo
	conffs, upload     yesNo
	stages, inherited  []string
	set                []string
	initramfsIsDefault bool
	buildFlags
}

// yesNo is a flag whose value is the word yes or no.
type yesNo bool

func (y *yesNo) String() string {
	if *y {
		return "yes"
	}
	return "no"
}

func (y *yesNo) Type() string { return "yes|no" }

// Set refuses other words.
func (y *yesNo) Set(value string) error {
	if value != "yes" && value != "no" {
		return fmt.Errorf("use yes or no")
	}
	*y = value == "yes"
	return nil
}

func newStage(a *app) (*cobra.Command, *stageFlags) {
	f := &stageFlags{rootfs: true, initramfs: true, conffs: true, upload: true}
	cmd := &cobra.Command{
		Use:   "stage [STAGE...]",
		Short: "Build an image from another image, without config.yml",
		Long: `Build an image from another image, without config.yml: apply the stages to
--source-image, or to a base made of --iso, and name the result --name.

Settings come from the environment and from .secrets.env in the current folder.
` + "`debug=yes vauban ci`" + ` prints the equivalent lines of this command.

Without --rootfs, the source is the image itself: its conffs and its initramfs
are made of it, and the stages are those that its hosts get. Without
--ansible-host there are no conffs.

--set gives any other key of config.yml: KEY is base.KEY (with --iso),
master.KEY or configuration.KEY, VALUE is its value there.`,
		Example: `  vauban stage --source-image master-12-base --name master-12-web playbook_web.yml
  vauban stage --iso debian-12.raw --name master-12-base --conffs no playbook_base.yml
  vauban stage --source-image master-12-web --name master-12-web --rootfs no --initramfs no \
    --ansible-host 'web*' playbook_base.yml playbook_web.yml
  vauban stage --source-image debian-12/iso --name test --set 'master.groups=[web]' playbook_web.yml`,
		RunE: func(cmd *cobra.Command, stages []string) error {
			f.stages = stages
			f.initramfsIsDefault = !cmd.Flags().Changed("initramfs")
			if err := f.valid(cmd); err != nil {
				return err
			}
			return a.runStage(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.source, "source-image", "s", "", "the image to start from, NAME[:TAG] or NAME@DIGEST")
	flags.StringVarP(&f.iso, "iso", "f", "", "the base to start from: a file, or a suite")
	flags.StringVarP(&f.name, "name", "n", "master-test", "the image to make")
	flags.StringVarP(&f.hosts, "ansible-host", "a", "", "the hosts to build conffs of, as for ansible's --limit")
	flags.StringVarP(&f.branch, "branch", "b", "", "branch of the playbooks where a stage names none (default: the repository's)")
	flags.VarP(&f.rootfs, "rootfs", "r", "build the rootfs")
	flags.VarP(&f.initramfs, "initramfs", "i", "build the initramfs")
	flags.VarP(&f.conffs, "conffs", "l", "build the conffs")
	flags.VarP(&f.upload, "upload", "u", "publish what is built")
	flags.StringVarP(&f.key, "ssh-priv-key", "k", "", "deploy key of the playbooks' repository (default: ANSIBLE_SSH_KEY, else ./ansible-ro)")
	flags.StringArrayVar(&f.inherited, "inherited", nil, "a stage of the source image, applied again for hosts before the stages; may be repeated")
	flags.StringVar(&f.limit, "limit", "", "narrow the hosts; the others keep what they have")
	flags.StringArrayVar(&f.set, "set", nil, "KEY=VALUE: a key of config.yml and its value; may be repeated")
	f.running(cmd)
	return cmd, f
}

// runStage builds what the flags say as one would build it from a config.yml
// with this one image.
func (a *app) runStage(ctx context.Context, out, errOut io.Writer, f *stageFlags) error {
	tree, err := f.tree(isFile)
	if err == nil {
		err = f.checkBranch()
	}
	if err != nil {
		return usage(fmt.Errorf("vauban stage: %w", err))
	}
	cfg, err := config.Parse("the command line", ".", tree.text)
	if err != nil {
		return usage(err)
	}
	p, err := pipeline.NewPlan(cfg, tree.requests...)
	if err != nil {
		return usage(err)
	}
	f.given = tree.given
	return a.run(ctx, out, errOut, &f.buildFlags, func(log *slog.Logger) (*config.Config, config.Settings, *plan.Plan, error) {
		for _, notice := range tree.notices {
			log.Info(notice)
		}
		settings, err := loadSettings(log, cfg)
		if err == nil {
			settings.AnsibleSSHKey, err = f.deployKey(settings.AnsibleSSHKey)
		}
		return cfg, settings, p, err
	})
}

// deployKey is the file of --ssh-priv-key, or the one that is set.
func (f *stageFlags) deployKey(configured string) (string, error) {
	if f.key == "" {
		return configured, nil
	}
	if !isFile(f.key) {
		return "", usage(fmt.Errorf("vauban stage: --ssh-priv-key %q is not a file", f.key))
	}
	return filepath.Abs(f.key)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
