package ansible

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"vauban/ansible/repository"
)

// Secret is something that ansible is given to work with and that nobody else
// may have.
type Secret struct {
	// Name says where it is from, for people.
	Name string
	// Value is the secret itself.
	Value string
	// Key tells that it is a private key in PEM.
	Key bool
}

// maxPassword bounds what is read of a file of a password, in bytes.
const maxPassword = 64 << 10

// Secrets returns the deploy key, what the repository's URL logs in with, and
// the vault passwords that a revision's ansible.cfg, the environment and the
// extra arguments name. Programs that print a password are not asked.
func (r *Controller) Secrets(ctx context.Context, rev repository.Revision) ([]Secret, error) {
	var secrets []Secret
	if file := r.options.Repository.SSHKeyFile; file != "" {
		key, err := readSecret(file)
		if err != nil {
			return nil, fmt.Errorf("reading the deploy key (ANSIBLE_SSH_KEY): %w", err)
		}
		secrets = append(secrets, Secret{Name: "ANSIBLE_SSH_KEY", Value: key, Key: true})
	}
	if u, err := url.Parse(r.options.Repository.Repo); err == nil {
		if password, ok := u.User.Password(); ok {
			secrets = append(secrets, Secret{Name: "the password in ANSIBLE_REPO", Value: password})
		}
	}
	c, err := r.Repository.Pristine(ctx, rev.Commit)
	if err != nil {
		return nil, err
	}
	s, err := r.readSettings(ctx, c)
	if err != nil {
		return nil, err
	}
	for _, file := range r.passwordFiles(c, s) {
		password, err := readSecret(file)
		if errors.Is(err, os.ErrNotExist) || err == nil && password == "" {
			continue // the run will say so
		} else if err != nil {
			return nil, fmt.Errorf("reading a vault password: %w", err)
		}
		secrets = append(secrets, Secret{Name: fmt.Sprintf("the vault password in %q", c.Relative(file)), Value: password})
	}
	return secrets, nil
}

// passwordFiles are those that ansible-playbook would read.
func (r *Controller) passwordFiles(c *repository.Copy, s settings) []string {
	var files []string
	if file := s.text("DEFAULT_VAULT_PASSWORD_FILE"); file != "" {
		files = append(files, r.files.find(c, file))
	}
	for _, id := range s.list("DEFAULT_VAULT_IDENTITY_LIST") {
		files = append(files, fileOfVaultID(r.files.vaultID(c, id)))
	}
	args := r.arguments(c)
	for i, arg := range args {
		for _, option := range []string{"--vault-password-file", "--vault-pass-file", "--vault-id"} {
			value, ok := strings.CutPrefix(arg, option+"=")
			if arg == option && i+1 < len(args) {
				value, ok = args[i+1], true
			}
			if ok {
				files = append(files, fileOfVaultID(value))
			}
		}
	}
	return files
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
