package gate

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"vauban/config"
	"vauban/internal/redact"
	"vauban/layers/dockerfile"
	"vauban/pipeline/recipes"
	"vauban/scan"
)

func put(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestSecretsOfEveryRun: no playbook, no repository, and all that the settings
// name is known.
func TestSecretsOfEveryRun(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("DOCKER_CONFIG", filepath.Join(dir, "docker"))
	t.Setenv("ANSIBLE_VAULT_PASSWORD_FILE", put(t, dir, "environment.pass", "the password in the environment"))
	const key = "-----BEGIN OPENSSH PRIVATE KEY-----\nQUJDREVGR0hJSktMTU5PUA==\n-----END OPENSSH PRIVATE KEY-----\n"
	s := config.Settings{
		AnsibleRepo: "https://git.example.com/x.git", AnsibleSSHKey: put(t, dir, "deploy", key), AnsibleExtraArgs: "--vault-id x@vault.pass",
		AptAuthFile: put(t, dir, "apt.auth", "machine a login b password apt-password\n"), VaultedSSHDKeysKey: redact.NewSecret("the passphrase"),
		RegistryUsername: "ci", RegistryPassword: redact.NewSecret("abc12"), VaultToken: redact.NewSecret("ab"),
		Others: map[string]redact.Secret{"OTHER_TOKEN": redact.NewSecret("other tool's token"), "DOMAIN": redact.NewSecret("example.com"),
			"API_KEY_FILE": redact.NewSecret(put(t, dir, "api.key", "x")), "PIN_SECRET": redact.NewSecret("12"), "LEVEL": redact.NewSecret("3")},
	}
	put(t, dir, "vault.pass", "the password of the arguments")
	put(t, dir, "docker/config.json", "{}")
	k, err := Learn(t.Context(), Sources{Config: &config.Config{Dir: dir}, Settings: s, StateDir: filepath.Join(dir, "state"), UploadDir: "/srv/pxe"})
	if err != nil {
		t.Fatal(err)
	}
	matcher := scan.New(k.Needles)
	for text, want := range map[string]string{
		"the password in the environment": `the vault password in "` + filepath.Join(dir, "environment.pass") + `"`,
		"the password of the arguments":   `the vault password in "` + filepath.Join(dir, "vault.pass") + `"`,
		key:                               "ANSIBLE_SSH_KEY", "apt-password": "a password in APT_AUTH_FILE", "the passphrase": "VAULTED_SSHD_KEYS_KEY",
		"other tool's token": "OTHER_TOKEN in .secrets.env", "x abc12 y": "REGISTRY_PASSWORD",
		"Y2k6YWJjMTI=": "REGISTRY_PASSWORD", // its login, ci:abc12
	} {
		if names, err := matcher.Find(strings.NewReader(text)); err != nil || !slices.Equal(names, []string{want}) {
			t.Errorf("%q: found %v, %v; want %s", text, names, err, want)
		}
	}
	if names, err := matcher.Find(strings.NewReader("example.com LEVEL=3 xabc12")); err != nil || names != nil {
		t.Errorf("found %v, %v in what is not secret", names, err)
	}
	if want := []string{"PIN_SECRET", "VAULT_TOKEN"}; !slices.Equal(k.Short, want) {
		t.Errorf("too short are %v, want %v", k.Short, want)
	}
	got := map[string]string{}
	for _, f := range k.Files {
		got[strings.TrimPrefix(f.Path, dir+"/")] = f.Why
	}
	want := map[string]string{
		".secrets.env": "vauban's secrets", "ansible-ro": "a deploy key", "deploy": "the deploy key, ANSIBLE_SSH_KEY", "vault.pass": "the vault password", "environment.pass": "the vault password",
		"apt.auth": "apt's credentials, APT_AUTH_FILE", "vault": "the vault of hosts' identities", "docker/config.json": "logins of registries",
		"api.key": "API_KEY_FILE in .secrets.env", "state": "vauban's state directory", "/srv/pxe": "published releases, with hosts' private keys",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+): %s", diff)
	}
}

// TestVaultOrFolder: a folder named vault is the user's own until it is the
// store of identities.
func TestVaultOrFolder(t *testing.T) {
	for name, tt := range map[string]struct {
		file     string
		settings config.Settings
		want     bool
	}{
		"a user's folder":           {file: "vault/Dockerfile"},
		"identities, no passphrase": {file: "vault/eu/web01.tar.gpg", want: true},
		"identities of before":      {file: "vault/web01.tar.gpg", settings: config.Settings{VaultEngine: "vault"}, want: true},
		"a passphrase":              {file: "x", settings: config.Settings{VaultedSSHDKeysKey: redact.NewSecret("passphrase")}, want: true},
		"a server":                  {file: "vault/Dockerfile", settings: config.Settings{VaultEngine: "vault", VaultedSSHDKeysKey: redact.NewSecret("passphrase")}},
	} {
		dir := t.TempDir()
		put(t, dir, tt.file, "x")
		files, err := Files(t.Context(), Sources{Config: &config.Config{Dir: dir}, Settings: tt.settings, UploadDir: filepath.Dir(dir)}, "")
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(files, func(f dockerfile.Withheld) bool { return f.Path == filepath.Dir(dir) }) {
			t.Errorf("%s: a tree that has config.yml in it is withheld, and all contexts with it", name)
		}
		if got := slices.ContainsFunc(files, func(f dockerfile.Withheld) bool { return f.Path == filepath.Join(dir, "vault") }); got != tt.want {
			t.Errorf("%s: withheld %v, want %v", name, got, tt.want)
		}
	}
}

func TestIsPublic(t *testing.T) {
	for value, want := range map[string]bool{
		"production": true, "example.com": true, "web01.eu.example.com:8443": true, "10.0.0.7": true, "Europe/Paris": true, "/etc/app/app.conf": true, "../lib": true,
		"https://hub.example.com": true, "http://proxy.example.com:3128/": true, "8080": true, "my-bucket": true,
		"https://hooks.example.com/services/T0A/B0c/xYz": false, "https://x.example.com?sig=1": false, "https://user@x.example.com": false,
		"Tr0ub4dor": false, "correct horse": false, "/9j4AAQSkZJRg+abc==": false, "ghp_16C7e42F292c6912E7": false, "aBcDeFgHi": false, "p@ssword": false,
	} {
		if got := isPublic(value); got != want {
			t.Errorf("%q is public: %v, want %v", value, got, want)
		}
	}
}

// TestRecipesLeaveSecretsOut: the user's files of a recipe are copied, those
// with secrets are not, nor what links lead to.
func TestRecipesLeaveSecretsOut(t *testing.T) {
	dir, context := t.TempDir(), t.TempDir()
	key := put(t, dir, "deploy", "canary")
	put(t, dir, "Dockerfiles/Dockerfile.base", "ARG SOURCE\nFROM ${SOURCE}\nCOPY key /root/key\n")
	put(t, dir, "Dockerfiles/motd", "hello")
	for name, link := range map[string]func(string, string) error{"key": os.Symlink, "hard": os.Link} {
		if err := link(key, filepath.Join(dir, "Dockerfiles", name)); err != nil {
			t.Fatal(err)
		}
	}
	withheld := []dockerfile.Withheld{{Path: key, Why: "a deploy key"}}
	d, err := recipes.Write(&config.Config{Dir: dir}, context, "Dockerfile.base", nil, nil, withheld)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"motd": true, "key": false, "hard": false} {
		if _, err := os.Lstat(filepath.Join(context, name)); (err == nil) != want {
			t.Errorf("%s is in the context: %v, want %v", name, err == nil, want)
		}
	}
	if err := d.Check(); err == nil || !strings.Contains(err.Error(), `"key" is left out of every build context (a deploy key)`) {
		t.Errorf("COPY of it by name: %v", err)
	}
}

// TestInspectFile looks into what an initramfs has packed.
func TestInspectFile(t *testing.T) {
	g := New(nil, scan.Secret("ANSIBLE_SSH_KEY", "correct horse"), nil)
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := func(text string) string { return string(w.EncodeAll([]byte(text), nil)) }
	for name, tt := range map[string]struct {
		content string
		refused bool
	}{
		"nothing": {packed("hello"), false}, "plain": {"x correct horse", true}, "packed": {packed("x correct horse"), true},
		"padded": {packed("x correct horse") + strings.Repeat("\x00", 100), true}, "cut off": {packed("hello")[:7], false}, "empty": {"", false},
	} {
		err := g.InspectFile(t.Context(), put(t, t.TempDir(), "initramfs.img", tt.content))
		if (err != nil) != tt.refused || err != nil && (!strings.Contains(err.Error(), "initramfs.img holds secrets, which no image may: ANSIBLE_SSH_KEY") || strings.Contains(err.Error(), "horse")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
