package registry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
)

// A credential helper that fails is an error; one that knows nothing of a
// registry is not.
func TestCredentialHelper(t *testing.T) {
	for name, tt := range map[string]struct {
		config, helper string
		want           string // in the error; "": none
	}{
		"no helper":                     {`{}`, "", ""},
		"it knows nothing":              {`{"credsStore": "case"}`, "echo 'credentials not found in native keychain'; exit 1", ""},
		"it fails":                      {`{"credsStore": "case"}`, "echo 'the store is locked'; exit 1", "the store is locked"},
		"that of one registry fails":    {`{"credHelpers": {"registry.example.com": "case"}}`, "echo 'the store is locked'; exit 1", "the store is locked"},
		"it is missing":                 {`{"credHelpers": {"registry.example.com": "missing"}}`, "", "docker-credential-missing"},
		"it prints something else":      {`{"credsStore": "case"}`, "echo hello", "invalid character"},
		"the configuration is no JSON":  {`{"credsStore": `, "", "unexpected EOF"},
		"the login in it is not base64": {`{"auths": {"registry.example.com": {"auth": "***"}}}`, "", "illegal base64"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range map[string]string{"config.json": tt.config, "docker-credential-case": "#!/bin/sh\n" + tt.helper + "\n"} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("DOCKER_CONFIG", dir)
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			login(t, tt.want)
		})
	}
}

func login(t *testing.T, want string) {
	t.Helper()
	host, err := name.NewRegistry("registry.example.com")
	if err != nil {
		t.Fatal(err)
	}
	secrets := &secrets{}
	keys, err := newKeychain("", "", secrets)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = (&Registry{host: host, keychain: keys, secrets: secrets}).Login(t.Context())
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("error %v, want %q", err, want)
	}
}
