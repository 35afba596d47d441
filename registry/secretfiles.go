package registry

import (
	"os"
	"path/filepath"
	"slices"
)

// SecretFiles are the files with secrets that clients of a registry read by
// themselves and that exist: logins in the configuration of Docker and Podman,
// and, true, the private keys of client certificates for a registry.
func SecretFiles(hostname string) map[string]bool { return secretFiles(hostname, certDirs()) }

func secretFiles(hostname string, certDirs []string) map[string]bool {
	found := map[string]bool{}
	for _, file := range loginFiles(os.Getenv) {
		if isFile(file) {
			found[file] = false
		}
	}
	host, _, err := parseHostname(hostname)
	if hostname == "" || err != nil {
		return found
	}
	for _, dir := range certDirs {
		keys, _ := filepath.Glob(filepath.Join(dir, host.RegistryStr(), "*.key")) // a bad pattern is not a host's name
		for _, key := range keys {
			if isFile(key) {
				found[key] = true
			}
		}
	}
	return found
}

// certDirs are where registry clients look for certificates.
func certDirs() []string {
	return []string{"/etc/containerd/certs.d", "/etc/containers/certs.d", "/etc/docker/certs.d"}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// loginFiles are where Docker and Podman look for logins.
// Source: docker-login(1), containers-auth.json(5)
func loginFiles(getenv func(string) string) []string {
	var files []string
	for variable, file := range map[string]string{"DOCKER_CONFIG": "config.json", "REGISTRY_AUTH_FILE": "", "XDG_RUNTIME_DIR": "containers/auth.json",
		"XDG_CONFIG_HOME": "containers/auth.json"} {
		if dir := getenv(variable); dir != "" {
			files = append(files, filepath.Join(dir, file))
		}
	}
	if home := getenv("HOME"); home != "" {
		files = append(files, filepath.Join(home, ".docker/config.json"), filepath.Join(home, ".config/containers/auth.json"))
	}
	slices.Sort(files)
	return slices.Compact(files)
}
