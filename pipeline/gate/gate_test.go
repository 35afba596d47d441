package gate

import (
	"archive/tar"
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"vauban/config"
	"vauban/internal/redact"
	"vauban/pipeline/provenance"
	"vauban/scan"
)

func TestGate(t *testing.T) {
	g := New(nil, scan.Secret("REGISTRY_PASSWORD", "correct horse"), []scan.Needle{
		{Name: "the builder's address 192.0.2.7", Text: "192.0.2.7", Word: true},
		{Name: "the builder's host name ci-17", Text: "ci-17", Word: true},
		{Name: stagesPath, Text: "/run/vauban/bin/"},
	})
	own := func(container string) []scan.Needle {
		return scan.Key("the private key of "+container, "-----BEGIN KEY-----\n"+strings.Repeat(container, 8)+"\n-----END KEY-----\n")
	}
	for name, tt := range map[string]struct {
		path, content string
		container     string
		refused       []string // words of the error
		notice        string   // a part of it
	}{
		"nothing":                {path: "etc/motd", content: "hello"},
		"a secret":               {path: "etc/app.conf", content: "p=correct horse", refused: []string{"/etc/app.conf", "REGISTRY_PASSWORD"}},
		"the machine's own key":  {path: "root/key", content: strings.Repeat("web01", 8), refused: []string{"/root/key", "private key of web01"}},
		"another machine's key":  {path: "root/key", content: strings.Repeat("web02", 8)},
		"an address":             {path: "etc/app.conf", content: "listen 192.0.2.7;", notice: "/etc/app.conf (the builder's address 192.0.2.7)"},
		"an address in a manual": {path: "usr/share/doc/app/README", content: "listen 192.0.2.7;"},
		"an address in a log":    {path: "var/log/dpkg.log", content: "192.0.2.7"},
		"the builder's name":     {path: "etc/hosts", content: "127.0.1.1 ci-17\n", notice: "/etc/hosts (the builder's host name ci-17)"},
		"a stage's path":         {path: "etc/app.service", content: "ExecStop=/run/vauban/bin/pkill app", notice: "/etc/app.service (a command's path that only a stage has"},
		"the container's name":   {path: "etc/hosts", content: "127.0.1.1 ci-17\n", container: "ci-17"},
	} {
		if tt.container == "" {
			tt.container = "web01"
		}
		var notices []string
		inspect := g.Inspect(own, func(_, text string) { notices = append(notices, text) })
		labels, err := inspect(tt.container, layerOfFile(t, tt.path, tt.content))
		if (err != nil) != (tt.refused != nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, word := range tt.refused {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v lacks %q", name, err, word)
			}
		}
		if err != nil {
			if strings.Contains(err.Error(), "horse") {
				t.Errorf("%s: the error tells the secret: %v", name, err)
			}
			continue
		}
		if (tt.notice == "") != (len(notices) == 0) || !strings.Contains(labels[provenance.LabelTraces], tt.notice) || !strings.Contains(strings.Join(notices, "\n"), tt.notice) {
			t.Errorf("%s: notices %q, label %q, want %q", name, notices, labels[provenance.LabelTraces], tt.notice)
		}
		if _, ok := labels[provenance.LabelTraces]; !ok {
			t.Errorf("%s: the parent's label stays", name)
		}
	}
}

func TestSettingsSecrets(t *testing.T) {
	needles := settingsSecrets(config.Settings{
		RegistryPassword:   redact.NewSecret("registry password"),
		VaultedSSHDKeysKey: redact.NewSecret("passphrase here\nsecond line"),
		UploadCISSHKey:     redact.NewSecret("LS0tLS1CRUdJTiBLRVktLS0tLQpBYkNkRWZHaElqS2xNbk9wCi0tLS0tRU5EIEtFWS0tLS0t"),
		GitTokenPassword:   redact.NewSecret("short"),
		AnsibleRepo:        "https://user:tokentoken@git.example.com/infra.git",
		DebianAptGetProxy:  "http://proxy.example.com:3142",
	})
	for text, want := range map[string]string{
		"registry password": "REGISTRY_PASSWORD",
		"passphrase here":   "VAULTED_SSHD_KEYS_KEY",
		"AbCdEfGhIjKlMnOp":  "UPLOAD_CI_SSH_KEY",
		"tokentoken":        "the password in ANSIBLE_REPO",
	} {
		names, err := scan.New(needles).Find(strings.NewReader("x " + text + " y"))
		if err != nil || !slices.Equal(names, []string{want}) {
			t.Errorf("%q: found %v, %v; want %s", text, names, err, want)
		}
	}
	if names, err := scan.New(needles).Find(strings.NewReader("short proxy.example.com git.example.com")); err != nil || names != nil {
		t.Errorf("found %v, %v in what is no secret", names, err)
	}
}

func TestAptPasswords(t *testing.T) {
	got := aptPasswords("machine https://a.example.com login ci password one\nmachine b\n  login x\n  password two\n# password\n")
	if !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("%q", got)
	}
}

func TestNamedIsBounded(t *testing.T) {
	findings := make([]scan.Finding, 300)
	if text := named(findings); !strings.HasSuffix(text, "and 290 more") {
		t.Errorf("%q", text)
	}
}

// layerOfFile is the tar of one file.
func layerOfFile(t *testing.T, name, content string) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))})
	if err == nil {
		_, err = w.Write([]byte(content))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return &b
}
