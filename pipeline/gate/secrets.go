package gate

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"vauban/ansible"
	"vauban/ansible/repository"
	"vauban/config"
	"vauban/layers/dockerfile"
	"vauban/registry"
	"vauban/scan"
	"vauban/vault"
)

// Sources are what a run's secrets are named in, whatever it builds.
type Sources struct {
	Config   *config.Config
	Settings config.Settings
	// Ansible is nil if it is not open; then what the repository's ansible.cfg
	// names is not known.
	Ansible *ansible.Controller
	// Registry, whose login may come from Docker's configuration. Nil: it is
	// not asked.
	Registry *registry.Registry
	// StateDir and UploadDir hold hosts' private keys.
	StateDir, UploadDir string
}

// Secrets are what no image may hold, and what no build context has.
type Secrets struct {
	Needles []scan.Needle
	Files   []dockerfile.Withheld
	Short   []string // names of those that are too short to be looked for
}

// PlaybookBranches are those that stages take their playbooks from.
func PlaybookBranches(stages []config.Stage, branch string) (branches []string) {
	for _, s := range stages {
		if s.Playbook != "" {
			branches = append(branches, s.RunBranch(branch))
		}
	}
	return branches
}

// Learn reads the secrets that settings name, and those that ansible.cfg
// names on branches of the repository. Without one, it is the default branch.
func Learn(ctx context.Context, from Sources, branches ...string) (Secrets, error) {
	k := Secrets{Needles: append(settingsSecrets(from.Settings), basesSecrets(from.Config)...)}
	k.addOthers(from.Settings)
	for _, learn := range []func() error{
		func() error { return k.addApt(from.Settings) },
		func() error { return k.addAnsible(ctx, from, branches) },
		func() error { return k.addRegistry(ctx, from) },
		func() error { return k.addFiles(ctx, from) },
	} {
		if err := learn(); err != nil {
			return Secrets{}, err
		}
	}
	for name, value := range from.Settings.Secrets() {
		if scan.TooShort(value.Reveal()) {
			k.Short = append(k.Short, name)
		}
	}
	slices.Sort(k.Short)
	return k, nil
}

// Files are those that no build context has. Branch is what --branch says.
func Files(ctx context.Context, from Sources, branch string) ([]dockerfile.Withheld, error) {
	var stages []config.Stage
	for _, b := range from.Config.Bases {
		stages = append(stages, b.Stages...)
	}
	for _, m := range from.Config.Masters() {
		stages = append(append(stages, m.Stages...), m.HostStages(from.Config)...)
	}
	branches := slices.DeleteFunc(PlaybookBranches(stages, branch), func(branch string) bool {
		if from.Ansible == nil {
			return true
		}
		_, err := from.Ansible.Repository.Revision(ctx, branch)
		return err != nil // a run of its stage will say so
	})
	k, err := Learn(ctx, from, branches...)
	if err != nil {
		return nil, fmt.Errorf("learning which files no build context may have: %w", err)
	}
	return k.Files, nil
}

// withhold adds a file, or a directory.
func (k *Secrets) withhold(path, why string) error {
	return k.add(dockerfile.Withheld{Path: path, Why: why})
}

// add adds what is not known yet.
func (k *Secrets) add(one dockerfile.Withheld) (err error) {
	if one.Path, err = filepath.Abs(one.Path); err != nil {
		return err
	}
	if !slices.ContainsFunc(k.Files, func(f dockerfile.Withheld) bool { return f.Path == one.Path }) {
		k.Files = append(k.Files, one)
	}
	return nil
}

func (k *Secrets) addApt(s config.Settings) error {
	if s.AptAuthFile == "" {
		return nil
	}
	text, err := os.ReadFile(s.AptAuthFile)
	if err != nil {
		return fmt.Errorf("reading apt's credentials: %w: correct APT_AUTH_FILE, or make that file", err)
	}
	for _, password := range aptPasswords(string(text)) {
		k.Needles = append(k.Needles, scan.Secret("a password in APT_AUTH_FILE", password)...)
	}
	return k.withhold(s.AptAuthFile, "apt's credentials, APT_AUTH_FILE")
}

// addAnsible adds those that ansible and its repository are used with.
func (k *Secrets) addAnsible(ctx context.Context, from Sources, branches []string) error {
	s := from.Settings
	all, err := ansible.Secrets(ansible.Options{ExtraArgs: s.AnsibleExtraArgs, Repository: repository.Options{Repo: s.AnsibleRepo, RootDir: s.AnsibleRootDir,
		SSHKeyFile: s.AnsibleSSHKey, Dir: from.Config.Dir, Environ: config.WithoutSecrets(os.Environ())}})
	if err != nil {
		return err
	}
	if from.Ansible != nil {
		commits := map[string]bool{}
		if len(branches) == 0 {
			branches = []string{""}
		}
		for _, branch := range branches {
			revision, err := from.Ansible.Repository.Revision(ctx, branch)
			if err != nil {
				return err
			}
			if commits[revision.Commit] {
				continue
			}
			commits[revision.Commit] = true
			given, err := from.Ansible.Secrets(ctx, revision)
			if err != nil {
				return err
			}
			all = append(all, given...)
		}
	}
	for _, secret := range all {
		k.Needles = append(k.Needles, ansibleNeedles(secret)...)
		if secret.File == "" {
			continue
		}
		why, _, _ := strings.Cut(secret.Name, " in ")
		if why == "ANSIBLE_SSH_KEY" {
			why = "the deploy key, " + why
		}
		if err := k.withhold(secret.File, why); err != nil {
			return err
		}
	}
	return nil
}

func ansibleNeedles(s ansible.Secret) []scan.Needle {
	if s.Key {
		return scan.Key(s.Name, s.Value)
	}
	return scan.Secret(s.Name, s.Value)
}

// addRegistry adds the login that Docker's configuration has for the user's
// registry, and the files that registry clients read.
func (k *Secrets) addRegistry(ctx context.Context, from Sources) error {
	s := from.Settings
	if from.Registry != nil && s.RegistryHostname != "" && s.RegistryPassword.Reveal() == "" {
		username, password, err := from.Registry.Login(ctx)
		if err != nil {
			return err
		}
		k.Needles = append(k.Needles, scan.Secret("the password of the registry's login", password)...)
		k.Needles = append(k.Needles, pair("the registry's login", username, password)...)
	}
	for file, isKey := range registry.SecretFiles(s.RegistryHostname) {
		why := "logins of registries"
		if isKey {
			why = "the key of the registry's client certificate"
			text, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("reading %s: %w", why, err)
			}
			k.Needles = append(k.Needles, scan.Key(why, string(text))...)
		}
		if err := k.withhold(file, why); err != nil {
			return err
		}
	}
	return nil
}

// addFiles adds the files of secrets that have their place, and directories.
func (k *Secrets) addFiles(ctx context.Context, from Sources) error {
	for name, why := range map[string]string{".secrets.env": "vauban's secrets", "ansible-ro": "a deploy key"} {
		if err := k.withhold(filepath.Join(from.Config.Dir, name), why); err != nil {
			return err
		}
	}
	if dir := from.Config.VaultDir(); from.Settings.VaultEngine != "vault" && from.Settings.VaultedSSHDKeysKey.Reveal() != "" || hasIdentities(ctx, dir) {
		if err := k.withhold(dir, "the vault of hosts' identities"); err != nil {
			return err
		}
	}
	here, err := filepath.Abs(from.Config.Dir)
	if err != nil {
		return err
	}
	for dir, why := range map[string]string{from.StateDir: "vauban's state directory", from.UploadDir: "published releases, with hosts' private keys"} {
		if dir == "" || strings.HasPrefix(here+"/", filepath.Clean(dir)+"/") {
			continue // where config.yml is, users' files are
		}
		if err := k.add(dockerfile.Withheld{Path: dir, Why: why, Large: true}); err != nil {
			return err
		}
	}
	slices.SortFunc(k.Files, func(a, b dockerfile.Withheld) int { return strings.Compare(a.Path, b.Path) })
	return nil
}

// hasIdentities tells a vault from another folder of that name.
func hasIdentities(ctx context.Context, dir string) bool {
	hosts, err := vault.NewLocal(dir, "").List(ctx)
	return err != nil || len(hosts) > 0
}

// ofOthers ends the names of secrets in .secrets.env that are not settings.
const ofOthers = " in .secrets.env"

// addOthers adds the values in .secrets.env of names that are not settings. All
// are secret but those that are plainly public and not named like a credential.
func (k *Secrets) addOthers(s config.Settings) {
	for _, name := range slices.Sorted(maps.Keys(s.Others)) {
		value := s.Others[name].Reveal()
		if password := passwordOf(name+ofOthers, value); password != nil {
			k.Needles = append(k.Needles, password...)
			continue
		}
		if info, err := os.Stat(value); filepath.IsAbs(value) && err == nil {
			if scan.IsCredential(strings.TrimSuffix(name, "_FILE")) && info.Mode().IsRegular() {
				k.Files = append(k.Files, dockerfile.Withheld{Path: value, Why: name + ofOthers})
			}
			continue
		}
		switch {
		case !scan.IsCredential(name) && isPublic(value):
		case scan.TooShort(value):
			if scan.IsCredential(name) {
				k.Short = append(k.Short, name)
			}
		case strings.Contains(value, "-----BEGIN"):
			k.Needles = append(k.Needles, scan.Key(name+ofOthers, value)...)
		default:
			k.Needles = append(k.Needles, scan.Secret(name+ofOthers, value)...)
		}
	}
}

var (
	hostName   = regexp.MustCompile(`^([a-z0-9-]+\.)*[a-z0-9-]*[a-z](:[0-9]+)?$`)
	publicPath = regexp.MustCompile(`^(/|\./|\.\./)?[a-z0-9._-]+(/[A-Za-z0-9._-]+)*/?$`)
)

// isPublic tells words, numbers, names of hosts, paths and addresses without a
// login or a query from what may be secret.
func isPublic(value string) bool {
	if scan.IsOrdinary(value) || strings.Contains(value, ".") && hostName.MatchString(value) {
		return true
	}
	if strings.HasPrefix(value, "/") || strings.HasPrefix(value, ".") {
		return publicPath.MatchString(value)
	}
	u, err := url.Parse(value)
	return err == nil && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "" &&
		(strings.Trim(u.Path, "/") == "" || scan.IsOrdinary(strings.Trim(u.Path, "/")))
}

// login is the user's name with the password, as it is sent: a password that is
// too short to be looked for in base64 by itself is found in it.
func login(setting string, s config.Settings, password string) []scan.Needle {
	switch setting {
	case "REGISTRY_PASSWORD":
		return pair(setting, s.RegistryUsername, password)
	case "GIT_TOKEN_PASSWORD":
		return pair(setting, s.GitTokenUsername, password)
	}
	return nil
}

func pair(name, username, password string) []scan.Needle {
	if username == "" || password == "" {
		return nil
	}
	return scan.Secret(name, username+":"+password)
}

// settingsSecrets are the values of secret settings, and the passwords in the
// URLs of others.
func settingsSecrets(s config.Settings) (needles []scan.Needle) {
	all := s.Secrets()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		value := all[name].Reveal()
		needles = append(needles, scan.Secret(name, value)...)
		needles = append(needles, login(name, s, value)...)
		if name == "VAULTED_SSHD_KEYS_KEY" {
			first, _, _ := strings.Cut(value, "\n") // the passphrase
			needles = append(needles, scan.Secret(name, first)...)
		}
		if name == "UPLOAD_CI_SSH_KEY" {
			if key, err := decodeBase64(value); err == nil {
				needles = append(needles, scan.Key(name, key)...)
			}
		}
	}
	for name, value := range map[string]string{"DEBIAN_APT_GET_PROXY": s.DebianAptGetProxy, "ANSIBLE_REPO": s.AnsibleRepo, "VAULT_ADDR": s.VaultAddr} {
		needles = append(needles, passwordOf(name, value)...)
	}
	return needles
}

// basesSecrets are the passwords in the URLs that bases come from. That of a
// mirror would be in the image's sources.list.
func basesSecrets(cfg *config.Config) (needles []scan.Needle) {
	for _, b := range cfg.Bases {
		for name, value := range map[string]string{"url": b.Source.Value, "sha512sums": b.SHA512Sums, "mirror": b.Mirror} {
			needles = append(needles, passwordOf(fmt.Sprintf("`%s:` of base %q", name, b.Name), value)...)
		}
	}
	return needles
}

// passwordOf is the password in a URL, if it has one.
func passwordOf(name, address string) []scan.Needle {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	password, ok := u.User.Password()
	if !ok {
		return nil
	}
	return scan.Secret("the password in "+name, password)
}

// aptPasswords are those of an apt_auth.conf(5).
func aptPasswords(text string) (passwords []string) {
	words := strings.Fields(text)
	for i, word := range words {
		if word == "password" && i+1 < len(words) {
			passwords = append(passwords, words[i+1])
		}
	}
	return passwords
}

func decodeBase64(text string) (string, error) {
	decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	return string(decoded), err
}
