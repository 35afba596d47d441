package config

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"vauban/internal/redact"

	"github.com/google/go-cmp/cmp"
)

// writeFiles makes a folder with the files, by name.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadSettingsPrecedence(t *testing.T) {
	// Each place sets ANSIBLE_EXTRA_ARGS to its own name, or does not.
	tests := []struct {
		name                       string
		secrets, environ, inConfig string
		want                       string
		overridden                 []string
	}{
		{name: "nowhere", want: ""},
		{name: "configuration", inConfig: "c", want: "c"},
		{name: "environment", environ: "ANSIBLE_EXTRA_ARGS=e", inConfig: "c", want: "e"},
		{name: "secrets", secrets: "ANSIBLE_EXTRA_ARGS=s", environ: "ANSIBLE_EXTRA_ARGS=e", inConfig: "c",
			want: "s", overridden: []string{"ANSIBLE_EXTRA_ARGS"}},
		{name: "the same twice", secrets: "ANSIBLE_EXTRA_ARGS=e", environ: "ANSIBLE_EXTRA_ARGS=e", want: "e"},
		{name: "empty environment", environ: "ANSIBLE_EXTRA_ARGS=", inConfig: "c", want: ""},
		{name: "empty secrets", secrets: "ANSIBLE_EXTRA_ARGS=", environ: "ANSIBLE_EXTRA_ARGS=e", want: "",
			overridden: []string{"ANSIBLE_EXTRA_ARGS"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string]string{"config.yml": "bookworm:\n"}
			if tt.inConfig != "" {
				files["config.yml"] += "configuration: {ansible_extra_args: " + tt.inConfig + "}\n"
			}
			if tt.secrets != "" {
				files[".secrets.env"] = tt.secrets + "\n"
			}
			c, err := Load(filepath.Join(writeFiles(t, files), "config.yml"))
			if err != nil {
				t.Fatal(err)
			}
			got, overridden, err := LoadSettings(c, []string{tt.environ})
			if err != nil {
				t.Fatal(err)
			}
			if got.AnsibleExtraArgs != tt.want {
				t.Errorf("AnsibleExtraArgs = %q, want %q", got.AnsibleExtraArgs, tt.want)
			}
			if diff := cmp.Diff(tt.overridden, overridden); diff != "" {
				t.Errorf("overridden: want (-), got (+):\n%s", diff)
			}
		})
	}
}

func TestLoadSettingsDefaults(t *testing.T) {
	dir := writeFiles(t, nil)
	t.Chdir(dir)
	got, _, err := LoadSettings(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{AnsibleRootDir: ".", AnsiblePlaybook: "ansible-playbook", VaultEngine: "local",
		VaultPath: "vauban_kv2/", StateDir: "/var/lib/vauban"}
	if diff := cmp.Diff(want, got, compareSecrets()); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func compareSecrets() cmp.Option {
	return cmp.Comparer(func(a, b redact.Secret) bool { return a.Reveal() == b.Reveal() })
}

// TestLoadSettingsPaths sets paths in each place: those of files start where
// the file is, those of the environment in the current folder.
func TestLoadSettingsPaths(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"config.yml": "bookworm:\nconfiguration: {ansible_repo: ansible, ansible_playbook: venv/bin/ansible-playbook}\n",
		".secrets.env": "DEBIAN_CACHE_PATH=cache\n" +
			"UPLOAD_HOSTS_LIST='pxe1, pxe2\tpxe3'\n",
		"ansible-ro": "a key",
	})
	here := t.TempDir()
	t.Chdir(here)
	c, err := Load(filepath.Join(dir, "config.yml"))
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := LoadSettings(c, []string{"UPLOAD_DIR=out", "VAUBAN_STATE_DIR=/state", "UPLOAD_CI_SSH_KEY=YQ=="})
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{
		AnsibleRepo: filepath.Join(dir, "ansible"), AnsibleRootDir: ".",
		AnsiblePlaybook: filepath.Join(dir, "venv/bin/ansible-playbook"),
		AnsibleSSHKey:   filepath.Join(dir, "ansible-ro"),
		UploadDir:       filepath.Join(here, "out"), UploadHostsList: []string{"pxe1", "pxe2", "pxe3"},
		UploadCISSHKey: redact.NewSecret("YQ=="),
		VaultEngine:    "local", VaultPath: "vauban_kv2/",
		DebianCachePath: filepath.Join(dir, "cache"), StateDir: "/state",
	}
	if diff := cmp.Diff(want, got, compareSecrets()); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if secrets := got.Secrets(); len(secrets) != 1 || secrets["UPLOAD_CI_SSH_KEY"].Reveal() != "YQ==" {
		t.Errorf("Secrets() has %d entries: %v", len(secrets), secrets)
	}
}

// TestEverySettingReachesItsField sets every setting and looks for a field
// that none has set.
func TestEverySettingReachesItsField(t *testing.T) {
	special := map[string]string{"VAULT_ENGINE": "vault", "VAULT_ADDR": "https://vault.example.com",
		"DEBIAN_APT_GET_PROXY": "http://proxy.example.com:3142", "UPLOAD_CI_SSH_KEY": "YWJj", "APT_POOL_MAX": "1024",
		"CONTAINER_MEMORY": "1025", "CONTAINER_PROCESSES": "1026", "CONTAINER_OPEN_FILES": "1027",
		"LAYER_MAX_FILE_SIZE": "1028", "LAYER_MAX_SIZE": "1029"}
	var environ []string
	for _, name := range settingNames() {
		value := special[name]
		if value == "" {
			value = "/" + strings.ToLower(name)
		}
		if name == "REGISTRY_HOSTNAME" || name == "ANSIBLE_ROOT_DIR" {
			value = "a"
		}
		special[name] = value
		environ = append(environ, name+"="+value)
	}
	got, _, err := LoadSettings(nil, environ)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range got.table() {
		var value string
		switch {
		case s.text != nil:
			value = *s.text
		case s.list != nil:
			value = strings.Join(*s.list, " ")
		case s.secret != nil:
			value = s.secret.Reveal()
		case s.size != nil:
			value = strconv.FormatInt(*s.size, 10)
		}
		if value != special[s.name] {
			t.Errorf("%s = %q, want %q", s.name, value, special[s.name])
		}
	}
}

func TestLoadSettingsRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, values := range map[string][]string{
		"REGISTRY_HOSTNAME":    {"https://a", "a/", "a:port", "a b", "-a"},
		"ANSIBLE_REPO":         {"--upload-pack=evil"},
		"ANSIBLE_ROOT_DIR":     {"/a", "a/../..", "-a"},
		"ANSIBLE_PLAYBOOK":     {"-evil"},
		"UPLOAD_HOSTS_LIST":    {"pxe -oProxyCommand=evil"},
		"UPLOAD_OWNER":         {"--evil"},
		"UPLOAD_CI_SSH_KEY":    {"-----BEGIN"},
		"VAULT_ENGINE":         {"hashicorp"},
		"VAULT_ADDR":           {"vault.example.com", "ftp://a"},
		"DEBIAN_APT_GET_PROXY": {"proxy:3142", "http://user:password@proxy", "http://proxy\";"},
		"APT_POOL_MAX":         {"much", "-3GiB", "zero"},
	} {
		for _, value := range values {
			_, _, err := LoadSettings(nil, []string{name + "=" + value})
			if err == nil {
				t.Errorf("%s=%s is accepted", name, value)
				continue
			}
			if !strings.HasPrefix(err.Error(), `environment: "`+name+`" `) || strings.Contains(err.Error(), value) {
				t.Errorf("%s=%s: the error must name the setting and not its value: %v", name, value, err)
			}
		}
	}
}

func TestIsLocalRepository(t *testing.T) {
	for value, want := range map[string]bool{
		"/srv/ansible":                    true,
		"../ansible":                      true,
		"ansible":                         true,
		"./a:b":                           true,
		"git@git.example.com:a/b.git":     false,
		"host:repository":                 false,
		"https://git.example.com/a/b.git": false,
		"file:///srv/ansible":             false,
	} {
		if got := isLocalRepository(value); got != want {
			t.Errorf("isLocalRepository(%q) = %v, want %v", value, got, want)
		}
	}
}

func TestWithoutSecrets(t *testing.T) {
	environ := []string{"PATH=/bin", "VAULT_TOKEN=x", "VAULT_ADDR=https://a", "REGISTRY_PASSWORD=y", "VAULT_TOKENS=z",
		"ANSIBLE_REPO=https://bot:pass@host/x.git", "ANSIBLE_REPO=https://bot:pa#ss@host/x.git",
		"ANSIBLE_REPO=https://token@host/x.git", "ANSIBLE_REPO=ssh://git@host/x.git", "ANSIBLE_REPO=git@host:x.git"}
	want := []string{"PATH=/bin", "VAULT_ADDR=https://a", "VAULT_TOKENS=z",
		"ANSIBLE_REPO=https://host/x.git", "ANSIBLE_REPO=https://host/x.git", "ANSIBLE_REPO=ssh://git@host/x.git", "ANSIBLE_REPO=git@host:x.git"}
	if diff := cmp.Diff(want, WithoutSecrets(environ)); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if environ[1] != "VAULT_TOKEN=x" {
		t.Errorf("the caller's environment was changed: %v", environ)
	}
}

// TestAptProxy sets the proxy by its short name in config.yml.
func TestAptProxy(t *testing.T) {
	c, err := read("config.yml", "configuration: {apt_proxy: 'http://proxy.example.com:3142', apt_pool_max: 2GiB}\nbookworm:\n")
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := LoadSettings(c, nil)
	if err != nil || got.DebianAptGetProxy != "http://proxy.example.com:3142" || got.AptPoolMax != 2<<30 {
		t.Errorf("%q, %d, %v", got.DebianAptGetProxy, got.AptPoolMax, err)
	}
	if got, _, err = LoadSettings(c, []string{"DEBIAN_APT_GET_PROXY=http://other.example.com"}); err != nil || got.DebianAptGetProxy != "http://other.example.com" {
		t.Errorf("the environment does not win: %q, %v", got.DebianAptGetProxy, err)
	}
	for _, text := range []string{
		"apt_proxy: 'http://user:password@proxy.example.com'",
		"apt_proxy: 'http://a'\n  debian_apt_get_proxy: 'http://b'",
	} {
		if _, err := read("config.yml", "configuration:\n  "+text+"\nbookworm:\n"); err == nil || strings.Contains(err.Error(), "password@") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestRepositoryPassword: a URL that cannot be read is refused without being
// repeated, for its password cannot be told from the rest.
func TestRepositoryPassword(t *testing.T) {
	for _, repo := range []string{"https://bot:pa#ss@host/x.git", "https://bot:pa%zz@host/x.git", "https://bot:pa/ss@host/x.git", "https://bot:pa ss@host/x.git"} {
		_, _, err := LoadSettings(nil, []string{"ANSIBLE_REPO=" + repo})
		if err == nil || strings.Contains(err.Error(), "pa") && strings.Contains(err.Error(), "bot") {
			t.Errorf("%s: error %v, want one that does not repeat it", repo, err)
		}
	}
}
