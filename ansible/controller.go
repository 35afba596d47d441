package ansible

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"mvdan.cc/sh/v3/shell"
	"mvdan.cc/sh/v3/syntax"

	"vauban/ansible/repository"
	"vauban/internal/command"
	"vauban/internal/memo"
)

// Options say how ansible is run, and on which repository.
type Options struct {
	// Repository is where the playbooks are. Its environment is also that
	// of ansible and the hooks.
	Repository repository.Options
	// ExtraArgs are added to ansible-playbook's, split as a shell would.
	ExtraArgs string
	// Program is the ansible-playbook to run. Empty: the one on the PATH.
	// Its siblings, ansible-galaxy and ansible-config, are taken from the
	// same folder.
	Program string
	// HookPre and HookPost are bash scripts, run on the builder before and
	// after ansible.
	HookPre, HookPost string
	// Strategy is Mitogen or Linear. Empty: what ansible's configuration says.
	Strategy string
	// Forks is how many hosts are worked on at once. 0: what ansible's
	// configuration says, else twice the cores.
	Forks int
	// DelegateHosts are patterns (shell style) of machines outside the build
	// that tasks may be delegated to.
	DelegateHosts []string
	// FactsFrom is a folder of facts of hosts that are not built: a JSON file
	// for each, named after it, as the module setup or a cache of facts
	// writes them. Empty: none.
	FactsFrom string
}

// Controller is ansible on the builder, with the user's configuration,
// arguments and hooks, for the playbooks of one repository. It may be used by
// several goroutines.
type Controller struct {
	Repository *repository.Repository

	options   Options
	extraArgs []string
	facts     digest.Digest // of FactsFrom
	files     locator
	log       *slog.Logger
	warned    sync.Map // what ansible warned about

	mu    sync.Mutex
	dumps map[string]string // of ansible-config, by digest of ansible.cfg

	outside memo.Memo[string, map[string]digest.Digest] // by commit
}

// Open checks how ansible is to be run and brings the mirror of the repository
// up to date.
func Open(ctx context.Context, o Options) (_ *Controller, err error) {
	if o.Repository, err = o.Repository.Check(); err != nil {
		return nil, err
	}
	r := &Controller{options: o, log: o.Repository.Log, dumps: map[string]string{}}
	if r.options.Program, err = o.program(); err != nil {
		return nil, err
	}
	if r.extraArgs, err = splitArgs(o.ExtraArgs, o.Repository.Environ); err != nil {
		return nil, err
	}
	if r.facts, err = r.digestFacts(); err != nil {
		return nil, err
	}
	if r.Repository, err = repository.Open(ctx, o.Repository); err != nil {
		return nil, err
	}
	r.files = newLocator(o.Repository.Dir, r.Repository)
	if err := os.CopyFS(r.Repository.Dir(), collection); err != nil {
		return nil, errors.Join(fmt.Errorf("writing vauban's ansible plugins: %w", err), r.Close())
	}
	return r, nil
}

// Close removes what the process keeps of the repository besides its mirror.
func (r *Controller) Close() error { return r.Repository.Close() }

func (o Options) program() (string, error) {
	name := cmp.Or(o.Program, "ansible-playbook")
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
		name = filepath.Join(o.Repository.Dir, name)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("finding %q: %w: install ansible-core (`apt install ansible-core`), "+
			"or set ANSIBLE_PLAYBOOK to an ansible-playbook", name, err)
	}
	return path, nil
}

// sibling is another program of the same installation of ansible.
func (r *Controller) sibling(name string) string {
	if path := filepath.Join(filepath.Dir(r.options.Program), name); isFile(path) {
		return path
	}
	return name
}

// forks is how many hosts one ansible process works on at once.
func (r *Controller) forks(s settings) int {
	const ansiblesOwn = 5
	if n := s.number("DEFAULT_FORKS"); r.options.Forks == 0 && n != 0 && n != ansiblesOwn {
		return n
	}
	return cmp.Or(r.options.Forks, 2*runtime.NumCPU())
}

// digestFacts also makes the folder's path absolute.
func (r *Controller) digestFacts() (digest.Digest, error) {
	if r.options.FactsFrom == "" {
		return "", nil
	}
	if !filepath.IsAbs(r.options.FactsFrom) {
		r.options.FactsFrom = filepath.Join(r.options.Repository.Dir, r.options.FactsFrom)
	}
	if err := checkFacts(r.options.FactsFrom); err != nil {
		return "", fmt.Errorf("reading the facts that `facts_from:` lends: %w", err)
	}
	return digestTree(os.DirFS(r.options.FactsFrom))
}

// checkFacts finds out before a run what the callback plugin could not read.
func checkFacts(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			return err
		}
		var facts map[string]any
		if err := json.Unmarshal(data, &facts); err != nil {
			return fmt.Errorf("%q is no JSON object: %w", file.Name(), err)
		}
	}
	return nil
}

// digestTree covers the names and contents of all files.
func digestTree(tree fs.FS) (digest.Digest, error) {
	d := digest.SHA256.Digester()
	err := fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(tree, path)
		fmt.Fprintf(d.Hash(), "%q %d\n%s", path, len(content), content)
		return err
	})
	return d.Digest(), err
}

// splitArgs splits a line as a shell does: quotes, variables, no commands.
func splitArgs(line string, environ []string) ([]string, error) {
	words, err := shell.Fields(line, func(name string) string { return command.Getenv(environ, name) })
	if err != nil {
		// The error may repeat what is quoted, and that may be a password.
		where := ""
		var parsing syntax.ParseError
		if errors.As(err, &parsing) {
			where = fmt.Sprintf(" at column %d", parsing.Pos.Col())
		}
		return nil, fmt.Errorf("ANSIBLE_EXTRA_ARGS cannot be split into words%s: close its quotes, and write values, not commands", where)
	}
	return words, nil
}
