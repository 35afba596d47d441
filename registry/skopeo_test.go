//go:build integration

package registry

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Another client reads what was pushed: skopeo copies an image out of the
// embedded registry, and checks every digest on the way.
func TestSkopeoCopiesAnImageOut(t *testing.T) {
	r := open(t, Options{StateDir: t.TempDir()})
	store := newStore(t)
	desc, layers := newImage(t, store)
	mustPush(t, r, "debian-12/iso", desc, store, PushOptions{Tags: []string{noonTag, Latest}})

	username, password, err := r.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	login, err := json.Marshal(auths(r.Address(), username+":"+password))
	if err != nil {
		t.Fatal(err)
	}
	authFile := filepath.Join(dir, "auth.json")
	if err := os.WriteFile(authFile, login, 0o600); err != nil {
		t.Fatal(err)
	}
	layout := filepath.Join(dir, "layout")
	command := exec.CommandContext(t.Context(), "skopeo", "--insecure-policy", "copy", "--preserve-digests", "--authfile", authFile,
		"--src-tls-verify=false", "docker://"+r.Address()+"/debian-12/iso:"+noonTag, "oci:"+layout+":web")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", command, err, output)
	}

	raw, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) != 1 || index.Manifests[0].Digest != desc.Digest {
		t.Errorf("skopeo copied %+v, want %s", index.Manifests, desc.Digest)
	}
	blob, err := os.ReadFile(filepath.Join(layout, "blobs/sha256", layers[0].Digest.Encoded()))
	if err != nil || digest.FromBytes(blob) != layers[0].Digest {
		t.Errorf("the layer did not arrive (%v)", err)
	}
}
