package ansible

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vauban/ansible/repository"
)

// TestSecretsOfSettings: what the settings name is known without the
// repository.
func TestSecretsOfSettings(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", filepath.Join(dir, "home"))
	for name, mode := range map[string]os.FileMode{"key": 0o600, "env": 0o600, "first": 0o600, "sub/second": 0o600, "home/third": 0o600, "program": 0o700, "ssh": 0o600} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("the secret in "+name+"\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	repo := repository.Options{Repo: "https://ci:url%20password@git.example.com/x.git", Dir: dir, RootDir: "sub", SSHKeyFile: "key",
		Environ: []string{"ANSIBLE_VAULT_PASSWORD_FILE=" + in("env")}}
	o := Options{Repository: repo,
		ExtraArgs: "-v --vault-id a@first --vault-password-file=second --vault-id b@prompt --vault-id ~/third --vault-pass-file program --private-key ssh --vault-id gone"}
	got, err := Secrets(o)
	if err != nil {
		t.Fatal(err)
	}
	password := func(name, value string) Secret {
		return Secret{Name: `the vault password in "` + in(name) + `"`, Value: value, File: in(name)}
	}
	want := []Secret{
		{Name: "ANSIBLE_SSH_KEY", Value: "the secret in key", Key: true, File: in("key")},
		{Name: "the password in ANSIBLE_REPO", Value: "url password"},
		password("env", "the secret in env"), password("first", "the secret in first"), password("program", ""),
		password("sub/second", "the secret in sub/second"),
		{Name: `the private key in "` + in("ssh") + `"`, Value: "the secret in ssh", Key: true, File: in("ssh")},
		password("home/third", "the secret in home/third"),
	}
	byFile := cmp.Transformer("byName", func(all []Secret) map[string]Secret {
		found := map[string]Secret{}
		for _, s := range all {
			found[s.Name] = s
		}
		return found
	})
	if diff := cmp.Diff(want, got, byFile); diff != "" || len(got) != len(want) {
		t.Errorf("want (-), got (+): %s", diff)
	}
	if got, err := Secrets(Options{Repository: repository.Options{Dir: dir, SSHKeyFile: "key"}, ExtraArgs: "'"}); err != nil || len(got) != 1 {
		t.Errorf("without a repository: %v, %v", got, err)
	}
	if _, err := Secrets(Options{Repository: repository.Options{Dir: dir, SSHKeyFile: "gone"}}); err == nil {
		t.Error("a deploy key that is not there is no error")
	}
}

// TestSecretsInRepository: the user's own copy of the repository may hold a
// password that git does not.
func TestSecretsInRepository(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "playbooks", "password")
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("a vault password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, repo := range []string{"playbooks", filepath.Dir(file)} {
		got, err := Secrets(Options{Repository: repository.Options{Repo: repo, Dir: dir}, ExtraArgs: "--vault-password-file password"})
		if err != nil || len(got) != 1 || got[0].File != file || got[0].Value != "a vault password" {
			t.Errorf("%s: got %+v, %v", repo, got, err)
		}
	}
}
