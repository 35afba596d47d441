package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vauban/internal/redact"

	"github.com/docker/go-units"
)

// Settings hold for a whole run. Each is named in the environment and in
// .secrets.env as its comment says, and in `configuration:`, secrets excepted,
// in lower case. Paths are absolute.
type Settings struct {
	RegistryHostname string        // REGISTRY_HOSTNAME: host[:port][/project]; "" is the embedded registry
	RegistryUsername string        // REGISTRY_USERNAME
	RegistryPassword redact.Secret // REGISTRY_PASSWORD

	AnsibleRepo      string // ANSIBLE_REPO: the URL or the path of a git repository
	AnsibleRootDir   string // ANSIBLE_ROOT_DIR: the folder of the playbooks in it, default "."
	AnsibleExtraArgs string // ANSIBLE_EXTRA_ARGS: for ansible-playbook, as a shell would split them
	AnsiblePlaybook  string // ANSIBLE_PLAYBOOK: the program, default "ansible-playbook"
	AnsibleSSHKey    string // ANSIBLE_SSH_KEY: a deploy key's file, default ansible-ro next to config.yml where it exists

	HookPreAnsible  string // HOOK_PRE_ANSIBLE: a command of bash
	HookPostAnsible string // HOOK_POST_ANSIBLE: a command of bash

	UploadDir           string        // UPLOAD_DIR: where releases are published
	UploadHostsList     []string      // UPLOAD_HOSTS_LIST: hosts to publish to, divided by spaces or commas
	UploadOwner         string        // UPLOAD_OWNER: USER[:GROUP] of what is published
	UploadCISSHUsername string        // UPLOAD_CI_SSH_USERNAME
	UploadCISSHKey      redact.Secret // UPLOAD_CI_SSH_KEY: a private key in base64

	VaultEngine        string        // VAULT_ENGINE: "local", the default, or "vault"
	VaultedSSHDKeysKey redact.Secret // VAULTED_SSHD_KEYS_KEY
	VaultAddr          string        // VAULT_ADDR
	VaultToken         redact.Secret // VAULT_TOKEN
	VaultRoleID        string        // VAULT_ROLE_ID: an AppRole, in the place of a token
	VaultSecretID      redact.Secret // VAULT_SECRET_ID
	VaultPath          string        // VAULT_PATH, default "vauban_kv2/"

	GitTokenUsername string        // GIT_TOKEN_USERNAME
	GitTokenPassword redact.Secret // GIT_TOKEN_PASSWORD

	DebianAptGetProxy string // DEBIAN_APT_GET_PROXY: its URL; also apt_proxy
	DebianCachePath   string // DEBIAN_CACHE_PATH: where packages are kept
	AptPoolMax        int64  // APT_POOL_MAX: how many bytes of them; 0 is the engine's default
	AptAuthFile       string // APT_AUTH_FILE: what private repositories ask for

	ContainerMemory    int64 // CONTAINER_MEMORY: bytes of a container; 0 is the engine's default
	ContainerProcesses int64 // CONTAINER_PROCESSES: and threads; 0 is the engine's default
	ContainerOpenFiles int64 // CONTAINER_OPEN_FILES: of a process; 0 is the engine's default

	LayerMaxFileSize int64 // LAYER_MAX_FILE_SIZE: bytes of one file of a layer; 0 is the engine's default
	LayerMaxSize     int64 // LAYER_MAX_SIZE: bytes of its files together; 0 is the engine's default

	ContainerdAddress string // CONTAINERD_ADDRESS: its socket
	StateDir          string // VAUBAN_STATE_DIR, default /var/lib/vauban

	// Others are the values in .secrets.env whose names are not settings:
	// secrets of other tools.
	Others map[string]redact.Secret
}

// A setting is one field of a Settings: a text, a list, a secret, or a size.
type setting struct {
	name   string
	text   *string
	list   *[]string
	secret *redact.Secret
	size   *int64
	isPath func(value string) bool // whether a value is relative to where it was set; nil: never
	accept check                   // its message does not repeat the value; nil: all
}

func (s *Settings) table() []setting {
	always := func(string) bool { return true }
	return []setting{
		{name: "REGISTRY_HOSTNAME", text: &s.RegistryHostname, accept: checkRegistry},
		{name: "REGISTRY_USERNAME", text: &s.RegistryUsername},
		{name: "REGISTRY_PASSWORD", secret: &s.RegistryPassword},
		{name: "ANSIBLE_REPO", text: &s.AnsibleRepo, isPath: isLocalRepository, accept: checkRepository},
		{name: "ANSIBLE_ROOT_DIR", text: &s.AnsibleRootDir, accept: checkRootDir},
		{name: "ANSIBLE_EXTRA_ARGS", text: &s.AnsibleExtraArgs, accept: checkWords},
		{name: "ANSIBLE_PLAYBOOK", text: &s.AnsiblePlaybook, isPath: hasSlash, accept: checkNoOption},
		{name: "ANSIBLE_SSH_KEY", text: &s.AnsibleSSHKey, isPath: always},
		{name: "HOOK_PRE_ANSIBLE", text: &s.HookPreAnsible},
		{name: "HOOK_POST_ANSIBLE", text: &s.HookPostAnsible},
		{name: "UPLOAD_DIR", text: &s.UploadDir, isPath: always},
		{name: "UPLOAD_HOSTS_LIST", list: &s.UploadHostsList, accept: checkNoOption},
		{name: "UPLOAD_OWNER", text: &s.UploadOwner, accept: checkNoOption},
		{name: "UPLOAD_CI_SSH_USERNAME", text: &s.UploadCISSHUsername, accept: checkNoOption},
		{name: "UPLOAD_CI_SSH_KEY", secret: &s.UploadCISSHKey, accept: checkBase64},
		{name: "VAULT_ENGINE", text: &s.VaultEngine, accept: checkEngine},
		{name: "VAULTED_SSHD_KEYS_KEY", secret: &s.VaultedSSHDKeysKey},
		{name: "VAULT_ADDR", text: &s.VaultAddr, accept: checkServer},
		{name: "VAULT_TOKEN", secret: &s.VaultToken},
		{name: "VAULT_ROLE_ID", text: &s.VaultRoleID},
		{name: "VAULT_SECRET_ID", secret: &s.VaultSecretID},
		{name: "VAULT_PATH", text: &s.VaultPath},
		{name: "GIT_TOKEN_USERNAME", text: &s.GitTokenUsername},
		{name: "GIT_TOKEN_PASSWORD", secret: &s.GitTokenPassword},
		{name: "DEBIAN_APT_GET_PROXY", text: &s.DebianAptGetProxy, accept: checkProxy},
		{name: "DEBIAN_CACHE_PATH", text: &s.DebianCachePath, isPath: always},
		{name: "APT_POOL_MAX", size: &s.AptPoolMax, accept: checkSize},
		{name: "APT_AUTH_FILE", text: &s.AptAuthFile, isPath: always},
		{name: "CONTAINER_MEMORY", size: &s.ContainerMemory, accept: checkSize},
		{name: "CONTAINER_PROCESSES", size: &s.ContainerProcesses, accept: checkSize},
		{name: "CONTAINER_OPEN_FILES", size: &s.ContainerOpenFiles, accept: checkSize},
		{name: "LAYER_MAX_FILE_SIZE", size: &s.LayerMaxFileSize, accept: checkSize},
		{name: "LAYER_MAX_SIZE", size: &s.LayerMaxSize, accept: checkSize},
		{name: "CONTAINERD_ADDRESS", text: &s.ContainerdAddress},
		{name: "VAUBAN_STATE_DIR", text: &s.StateDir, isPath: always},
	}
}

// PublishedTree is the folder that releases are published in: UPLOAD_DIR, or a
// folder of the state directory.
func (s *Settings) PublishedTree(stateDir string) string {
	if s.UploadDir != "" {
		return s.UploadDir
	}
	return filepath.Join(stateDir, "published")
}

// Secrets returns the secrets that are set, by the names of their settings.
func (s *Settings) Secrets() map[string]redact.Secret {
	set := map[string]redact.Secret{}
	for _, one := range s.table() {
		if one.secret != nil && one.secret.Reveal() != "" {
			set[one.name] = *one.secret
		}
	}
	return set
}

// WithoutSecrets returns the variables of environ that are not secrets of
// vauban's, for the programs that it starts. URLs of settings lose their login.
func WithoutSecrets(environ []string) []string {
	secret := secretNames()
	var kept []string
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		switch {
		case slices.Contains(secret, name):
		case name == "ANSIBLE_REPO" || name == "VAULT_ADDR" || name == "DEBIAN_APT_GET_PROXY":
			if value, ok := withoutLogin(value); ok {
				kept = append(kept, name+"="+value)
			}
		default:
			kept = append(kept, variable)
		}
	}
	return kept
}

// withoutLogin takes the login out of a URL. It fails when that cannot be told
// from the rest.
func withoutLogin(value string) (string, bool) {
	if !strings.Contains(value, "://") {
		return value, true
	}
	u, err := url.Parse(value)
	if err != nil {
		return "", false
	}
	_, hasPassword := u.User.Password()
	if u.User == nil || !hasPassword && u.Scheme == "ssh" {
		return value, true
	}
	u.User = nil
	return u.String(), true
}

func settingNames() []string {
	var names []string
	for _, s := range new(Settings).table() {
		names = append(names, s.name)
	}
	return names
}

func secretNames() []string {
	var names []string
	for _, s := range new(Settings).table() {
		if s.secret != nil {
			names = append(names, s.name)
		}
	}
	return names
}

// check says why value cannot be that of the setting. An empty one always
// can: it means the default.
func (s setting) check(value string) error {
	if value == "" || s.accept == nil {
		return nil
	}
	return s.accept(value)
}

// set stores a value that was set in dir.
func (s setting) set(value, dir string) {
	if value == "" {
		return
	}
	if s.isPath != nil && s.isPath(value) && !filepath.IsAbs(value) {
		value = filepath.Join(dir, value)
	}
	switch {
	case s.text != nil:
		*s.text = value
	case s.list != nil:
		*s.list = splitList(value)
	case s.secret != nil:
		*s.secret = redact.NewSecret(value)
	case s.size != nil:
		*s.size, _ = units.RAMInBytes(value) // which was checked
	}
}

func splitList(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(", \t\n", r) })
}

// LoadSettings puts the settings together. A setting is taken from
// .secrets.env next to config.yml (in the current folder when c is nil), else
// from environ ("NAME=value", as [os.Environ] has it), else from the
// `configuration:` of c, else it has its default. One that is set to nothing
// has its default too, whatever comes after.
//
// Relative paths of the environment start in the current folder, others where
// their file is. The names are those of variables in environ that .secrets.env
// gave another value, sorted. The error is [Errors] when values cannot stand;
// it never shows a value.
func LoadSettings(c *Config, environ []string) (Settings, []string, error) {
	here, err := os.Getwd()
	if err != nil {
		return Settings{}, nil, fmt.Errorf("finding the current folder: %w", err)
	}
	if c == nil {
		c = &Config{Dir: "."}
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return Settings{}, nil, fmt.Errorf("finding the folder of %q: %w", c.Path, err)
	}
	file := filepath.Join(c.Dir, ".secrets.env")
	fromFile, err := readSecretsEnv(file, cmp.Or(c.Path, filepath.Join(c.Dir, "config.yml")))
	if err != nil {
		return Settings{}, nil, err
	}
	fromEnvironment := map[string]string{}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		fromEnvironment[name] = value
	}

	settings := defaultSettings(dir)
	settings.Others = othersOf(fromFile.others)
	var overridden []string
	wrong := &problems{file: "environment"}
	for _, s := range settings.table() {
		secret, inFile := fromFile.settings[s.name]
		value, inEnvironment := fromEnvironment[s.name]
		switch {
		case inFile:
			if inEnvironment && secret != value {
				overridden = append(overridden, s.name)
			}
			s.set(secret, dir)
		case inEnvironment:
			if err := s.check(value); err != nil {
				wrong.addAt(Position{}, naming(s.name, err))
			}
			s.set(value, here)
		default:
			s.set(c.Configuration.Settings[s.name], dir)
		}
	}
	slices.Sort(overridden)
	return settings, overridden, wrong.err()
}

// othersOf keeps the values that are set; nil when there is none.
func othersOf(values map[string]string) map[string]redact.Secret {
	var others map[string]redact.Secret
	for name, value := range values {
		if value == "" {
			continue
		}
		if others == nil {
			others = map[string]redact.Secret{}
		}
		others[name] = redact.NewSecret(value)
	}
	return others
}

func defaultSettings(dir string) Settings {
	s := Settings{
		AnsibleRootDir:  ".",
		AnsiblePlaybook: "ansible-playbook",
		VaultEngine:     "local",
		VaultPath:       "vauban_kv2/",
		StateDir:        "/var/lib/vauban",
	}
	key := filepath.Join(dir, "ansible-ro")
	if info, err := os.Stat(key); err == nil && info.Mode().IsRegular() {
		s.AnsibleSSHKey = key
	}
	return s
}

// naming puts the name of a setting before what is wrong with its value, if
// anything.
func naming(name string, err error) error {
	var mistake Mistake
	if !errors.As(err, &mistake) {
		return err
	}
	mistake.What = fmt.Sprintf("%q %s", name, mistake.What)
	return mistake
}
