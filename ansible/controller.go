package ansible

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"vauban/ansible/repository"
)

// Controller is ansible on the builder, with the user's configuration,
// arguments and hooks, for the playbooks of one repository. It may be used by
// several goroutines.
type Controller struct {
	Repository *repository.Repository

	options        Options
	programs       *programs
	arguments      arguments
	files          locator
	hooks          hooks
	configurations *configurations
	external       *externalInventories
	facts          digest.Digest // of FactsFrom
}

// Open checks how ansible is to be run and brings the mirror of the repository
// up to date.
func Open(ctx context.Context, o Options) (_ *Controller, err error) {
	if o.Repository, err = o.Repository.Check(); err != nil {
		return nil, err
	}
	if o.Program, err = findPlaybookProgram(o); err != nil {
		return nil, err
	}
	args, err := splitArguments(o.ExtraArgs, o.Repository.Environ)
	if err != nil {
		return nil, err
	}
	if o.FactsFrom != "" && !filepath.IsAbs(o.FactsFrom) {
		o.FactsFrom = filepath.Join(o.Repository.Dir, o.FactsFrom)
	}
	facts, err := digestFacts(o.FactsFrom)
	if err != nil {
		return nil, err
	}
	repo, err := repository.Open(ctx, o.Repository)
	if err != nil {
		return nil, err
	}
	if err := os.CopyFS(repo.Dir(), collection); err != nil {
		return nil, errors.Join(fmt.Errorf("writing vauban's ansible plugins: %w", err), repo.Close())
	}
	return newController(repo, o, args, facts), nil
}

// newController joins the parts.
func newController(repo *repository.Repository, o Options, args arguments, facts digest.Digest) *Controller {
	files := newLocator(o.Repository)
	programs := &programs{
		playbook: o.Program, environ: o.Repository.Environ, dir: o.Repository.Dir,
		redact: repo.Redact, warnings: &warnings{log: o.Repository.Log},
	}
	return &Controller{
		Repository: repo, options: o, programs: programs, arguments: args, files: files, facts: facts,
		hooks:          hooks{before: o.HookPre, after: o.HookPost, environ: o.Repository.Environ},
		configurations: &configurations{programs: programs, dumps: map[string]string{}},
		external: &externalInventories{repo: repo, arguments: args, files: files,
			environ: o.Repository.Environ, dir: o.Repository.Dir},
	}
}

// Close removes what the process keeps of the repository besides its mirror.
func (c *Controller) Close() error { return c.Repository.Close() }

// Playbook makes a step of a playbook.
func (c *Controller) Playbook(o PlaybookOptions) *Playbook {
	o.Mode = cmp.Or(o.Mode, Independent)
	return &Playbook{controller: c, options: o}
}

// session prepares ansible in a working copy.
func (c *Controller) session(ctx context.Context, wc *repository.Copy) (*session, error) {
	settings, err := c.configurations.read(ctx, wc)
	if err != nil {
		return nil, err
	}
	return &session{
		copy: wc, settings: settings, arguments: c.arguments.in(wc, c.files),
		programs: c.programs, files: c.files, plugins: c.Repository.Dir(),
	}, nil
}

// inputs are digests of what the results at a commit depend on, whatever the
// playbook.
func (c *Controller) inputs(ctx context.Context, commit string) (Inputs, error) {
	plugins, err := digestTree(collection)
	if err != nil {
		return nil, err
	}
	files, err := c.arguments.files(c.options.Repository.Dir)
	if err != nil {
		return nil, err
	}
	external, err := c.external.digests(ctx, commit)
	if err != nil {
		return nil, err
	}
	inputs := Inputs{}
	inputs.Add("inventories outside the repository", external)
	inputs.Add("vauban's ansible plugins", plugins)
	inputs.Add("ANSIBLE_REPO", c.Repository.URL())
	inputs.Add("ANSIBLE_ROOT_DIR", strings.TrimPrefix(c.Repository.RootDir(), "."))
	inputs.Add("ANSIBLE_EXTRA_ARGS", c.arguments)
	inputs.Add("files of ANSIBLE_EXTRA_ARGS", files)
	inputs.Add("HOOK_PRE_ANSIBLE", c.hooks.before)
	inputs.Add("HOOK_POST_ANSIBLE", c.hooks.after)
	inputs.Add("facts_from", c.facts)
	return inputs, nil
}
