package ansible

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vauban/ansible/repository"
	"vauban/internal/command"
)

// Secret is something that only ansible may have.
type Secret struct {
	// Name says where it is from, for people.
	Name string
	// Value is the secret itself. Empty: it is not known, as that of a program
	// that prints a password.
	Value string
	// Key: it is a private key in PEM.
	Key bool
	// File has it. Empty: none.
	File string
}

// maxPassword bounds what is read of a file of a password, in bytes.
const maxPassword = 64 << 10

// Secrets returns the deploy key, what the repository's URL logs in with, and
// the vault passwords and private keys that the environment and the extra
// arguments name. They are known without the repository; see
// [Controller.Secrets] for those that its ansible.cfg names.
func Secrets(o Options) ([]Secret, error) {
	repo := o.Repository
	dir, err := filepath.Abs(repo.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding the current folder: %w", err)
	}
	repo.Dir = dir
	secrets, err := loginSecrets(repo)
	if err != nil {
		return nil, err
	}
	if repo.Repo == "" {
		return secrets, nil // nothing runs ansible
	}
	args, err := splitArguments(o.ExtraArgs, repo.Environ)
	if err != nil {
		return nil, err
	}
	files := secretFiles{}
	files.add(vaultPassword, command.Getenv(repo.Environ, "ANSIBLE_VAULT_PASSWORD_FILE"))
	for id := range strings.SplitSeq(command.Getenv(repo.Environ, "ANSIBLE_VAULT_IDENTITY_LIST"), ",") {
		files.add(vaultPassword, fileOfVaultID(strings.TrimSpace(id)))
	}
	files.add(privateKey, command.Getenv(repo.Environ, "ANSIBLE_PRIVATE_KEY_FILE"))
	files.addArguments(args)
	where := newLocator(repo)
	more, err := files.read(func(file string) string {
		if found := where.outside(file); found != "" && !filepath.IsAbs(file) {
			return found
		}
		return file
	}, func(file string) string { return file })
	return append(secrets, more...), err
}

// loginSecrets are those that the repository is fetched with.
func loginSecrets(o repository.Options) (secrets []Secret, err error) {
	if file := o.SSHKeyFile; file != "" {
		if !filepath.IsAbs(file) {
			file = filepath.Join(o.Dir, file)
		}
		key, err := readSecret(file)
		if err != nil {
			return nil, fmt.Errorf("reading the deploy key (ANSIBLE_SSH_KEY): %w", err)
		}
		secrets = append(secrets, Secret{Name: "ANSIBLE_SSH_KEY", Value: key, Key: true, File: file})
	}
	if u, err := url.Parse(o.Repo); err == nil {
		if password, ok := u.User.Password(); ok {
			secrets = append(secrets, Secret{Name: "the password in ANSIBLE_REPO", Value: password})
		}
	}
	return secrets, nil
}

// Secrets returns the vault passwords and private keys that a revision's
// ansible.cfg, the environment and the extra arguments name. Programs that print
// a password are not asked.
func (c *Controller) Secrets(ctx context.Context, rev repository.Revision) ([]Secret, error) {
	wc, err := c.Repository.Pristine(ctx, rev.Commit)
	if err != nil {
		return nil, err
	}
	s, err := c.session(ctx, wc)
	if err != nil {
		return nil, err
	}
	files := secretFiles{}
	files.add(vaultPassword, s.settings.text("DEFAULT_VAULT_PASSWORD_FILE"))
	for _, id := range s.settings.list("DEFAULT_VAULT_IDENTITY_LIST") {
		files.add(vaultPassword, fileOfVaultID(id))
	}
	files.add(privateKey, s.settings.text("DEFAULT_PRIVATE_KEY_FILE"))
	files.addArguments(c.arguments)
	return files.read(func(file string) string { return c.files.find(wc, file) }, wc.Relative)
}

// What a file has.
const (
	vaultPassword = "vault password"
	privateKey    = "private key"
)

// secretFiles are files and what they have.
type secretFiles map[string]string

func (f secretFiles) add(what, file string) {
	if file != "" && file != "prompt" {
		f[file] = what
	}
}

// addArguments adds the files that options of ansible-playbook name.
func (f secretFiles) addArguments(args arguments) {
	for i, arg := range args {
		for option, what := range map[string]string{"--vault-password-file": vaultPassword, "--vault-pass-file": vaultPassword,
			"--vault-id": vaultPassword, "--private-key": privateKey, "--key-file": privateKey} {
			value, ok := strings.CutPrefix(arg, option+"=")
			if arg == option && i+1 < len(args) {
				value, ok = args[i+1], true
			}
			if ok {
				f.add(what, fileOfVaultID(value))
			}
		}
	}
}

// read reads the files. Those that are not there are the run's to report.
func (f secretFiles) read(locate, shown func(string) string) (secrets []Secret, err error) {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		file := locate(home(name))
		value, err := readSecret(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("reading a %s: %w", f[name], err)
		}
		secrets = append(secrets, Secret{Name: fmt.Sprintf("the %s in %q", f[name], shown(file)), Value: value, Key: f[name] == privateKey, File: file})
	}
	return secrets, nil
}

// home replaces a ~ at the beginning, as ansible does.
func home(file string) string {
	if rest, ok := strings.CutPrefix(file, "~/"); ok {
		if dir, err := os.UserHomeDir(); err == nil {
			return filepath.Join(dir, rest)
		}
	}
	return file
}

// fileOfVaultID is the file of LABEL@FILE, or of FILE.
func fileOfVaultID(id string) string {
	if _, file, ok := strings.Cut(id, "@"); ok {
		return file
	}
	return id
}

// readSecret reads a small file; of a program, which would have to be run, it
// reads nothing.
func readSecret(path string) (_ string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 != 0 {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPassword))
	return strings.TrimSpace(string(text)), err
}
