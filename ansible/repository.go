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

	"vauban/internal/git"
)

// Options say where the playbooks are and how ansible is run.
type Options struct {
	// Repo is the git repository: a URL, or the path of a bare repository
	// or of a work tree, whose commits count and not its edited files.
	Repo string
	// RootDir is the folder of the repository that ansible runs in, where
	// ansible.cfg is. Empty: the top.
	RootDir string
	// ExtraArgs are added to ansible-playbook's, split as a shell would.
	ExtraArgs string
	// Program is the ansible-playbook to run. Empty: the one on the PATH.
	// Its siblings, ansible-galaxy and ansible-config, are taken from the
	// same folder.
	Program string
	// SSHKeyFile is a deploy key for Repo. Empty: what ssh finds.
	SSHKeyFile string
	// Username and Password are sent to Repo over http(s), where its URL
	// holds none.
	Username, Password string
	// HookPre and HookPost are bash scripts, run on the builder before and
	// after ansible.
	HookPre, HookPost string
	// StateDir keeps the mirror and what ansible-galaxy fetched.
	StateDir string
	// Dir is the user's folder, from which relative paths are found.
	// Empty: the current one.
	Dir string
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
	// Environ is the environment of git, the hooks and ansible. It must
	// not hold vauban's own secrets.
	Environ []string
	// Log gets progress. Nil: none.
	Log *slog.Logger
}

// Repository is a mirror of the user's ansible repository, as it was when it
// was opened. It may be used by several goroutines.
type Repository struct {
	options   Options
	remote    remote
	mirror    string // bare repository
	dir       string // private to this process, removed by Close
	extraArgs []string
	facts     digest.Digest // of FactsFrom
	log       *slog.Logger
	warned    sync.Map // what ansible warned about
	unlock    func()   // gives dir free for sweeping

	mu        sync.Mutex
	revisions map[string]Revision
	copies    map[string]*workingCopy // pristine ones, by commit
	dumps     map[string]string       // of ansible-config, by digest of ansible.cfg

	changes memo[[2]string, *Changes]              // by pair of commits
	outside memo[string, map[string]digest.Digest] // by commit
}

// Open brings the mirror of the repository up to date.
func Open(ctx context.Context, o Options) (_ *Repository, err error) {
	if o.Repo == "" {
		return nil, errors.New("no ansible repository: set ANSIBLE_REPO to its URL or path")
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, fmt.Errorf("finding the current folder: %w", err)
	}
	if o.RootDir = filepath.Clean(o.RootDir); !filepath.IsLocal(o.RootDir) {
		return nil, fmt.Errorf("ANSIBLE_ROOT_DIR %q leaves the repository: name a folder inside it", o.RootDir)
	}
	o.Environ = git.Untied(o.Environ)
	r := &Repository{
		options:   o,
		log:       cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
		revisions: map[string]Revision{},
		copies:    map[string]*workingCopy{},
		dumps:     map[string]string{},
	}
	if r.options.Program, err = o.program(); err != nil {
		return nil, err
	}
	if r.extraArgs, err = splitArgs(o.ExtraArgs, o.Environ); err != nil {
		return nil, err
	}
	if r.facts, err = r.digestFacts(); err != nil {
		return nil, err
	}
	if r.remote, err = newRemote(o); err != nil {
		return nil, err
	}
	if r.dir, r.unlock, err = privateDir(ctx, filepath.Join(o.StateDir, "ansible")); err != nil {
		return nil, err
	}
	if err := r.prepare(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Repository) prepare(ctx context.Context) error {
	if err := os.CopyFS(r.dir, collection); err != nil {
		return fmt.Errorf("writing vauban's ansible plugins: %w", err)
	}
	return r.fetch(ctx)
}

// Close removes the working copies. The mirror stays for the next run.
func (r *Repository) Close() error {
	defer r.unlock()
	if err := os.RemoveAll(r.dir); err != nil {
		return fmt.Errorf("removing the working copies: %w", err)
	}
	return nil
}

// HasPlaybook returns an error that names near ones when the revision has no
// playbook of that path below RootDir.
func (r *Repository) HasPlaybook(ctx context.Context, rev Revision, path string) error {
	c, err := r.pristine(ctx, rev.Commit)
	if err != nil {
		return err
	}
	if !filepath.IsLocal(path) {
		return fmt.Errorf("playbook %q leaves the repository: name one inside it", path)
	}
	info, err := os.Stat(filepath.Join(c.root, path))
	if err == nil && info.Mode().IsRegular() {
		return nil
	}
	return fmt.Errorf("branch %q has no playbook %q%s%s", rev.Branch, path,
		in(r.options.RootDir), didYouMean(path, playbooks(c.root)))
}

func in(dir string) string {
	if dir == "." {
		return ""
	}
	return fmt.Sprintf(" in %q", dir)
}

// playbooks lists the YAML files below root that can be one.
func playbooks(root string) []string {
	var found []string
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch name := filepath.Base(path); {
		case err != nil:
			return nil // only a suggestion is at stake
		case d.IsDir() && (name == ".git" || name == "roles" || strings.HasSuffix(name, "_vars")):
			return fs.SkipDir
		case strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".yaml"):
			relative, _ := filepath.Rel(root, path)
			found = append(found, relative)
		}
		return nil
	})
	return found
}

func (o Options) program() (string, error) {
	name := cmp.Or(o.Program, "ansible-playbook")
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
		name = filepath.Join(o.Dir, name)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("finding %q: %w: install ansible-core (`apt install ansible-core`), "+
			"or set ANSIBLE_PLAYBOOK to an ansible-playbook", name, err)
	}
	return path, nil
}

// sibling is another program of the same installation of ansible.
func (r *Repository) sibling(name string) string {
	if path := filepath.Join(filepath.Dir(r.options.Program), name); isFile(path) {
		return path
	}
	return name
}

// forks is how many hosts one ansible process works on at once.
func (r *Repository) forks(s settings) int {
	const ansiblesOwn = 5
	if n := s.number("DEFAULT_FORKS"); r.options.Forks == 0 && n != 0 && n != ansiblesOwn {
		return n
	}
	return cmp.Or(r.options.Forks, 2*runtime.NumCPU())
}

// digestFacts also makes the folder's path absolute.
func (r *Repository) digestFacts() (digest.Digest, error) {
	if r.options.FactsFrom == "" {
		return "", nil
	}
	if !filepath.IsAbs(r.options.FactsFrom) {
		r.options.FactsFrom = filepath.Join(r.options.Dir, r.options.FactsFrom)
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
	words, err := shell.Fields(line, func(name string) string { return getenv(environ, name) })
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

func getenv(environ []string, name string) string {
	for i := len(environ) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(environ[i], name+"="); ok {
			return value
		}
	}
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
