package release

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

func TestParseManifestRefuses(t *testing.T) {
	good, err := mustPublish(t, t.TempDir(), built(t, first, "one", "web01")).encode()
	must(t, err)
	if _, err := ParseManifest(good); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ old, new, want string }{
		"no JSON":         {"{", "", "reading the manifest"},
		"master":          {`"master": "master-12-web"`, `"master": "../x"`, "cannot be published"},
		"timestamp":       {first, "now", "not a timestamp"},
		"version":         {`"version": "` + version, `"version": "/` + version, "cannot name a file"},
		"host":            {`"web01": {`, `"../web01": {`, "cannot name a file"},
		"file name":       {`"name": "conffs-web01.tgz"`, `"name": "../../conffs-web01.tgz"`, "is called"},
		"rootfs name":     {`"name": "rootfs.squashfs"`, `"name": "/etc/passwd"`, "is called"},
		"digest":          {`"digest": "sha256:`, `"digest": "sha256:0`, "is not sha256:HEX"},
		"other algorithm": {`"digest": "sha256:`, `"digest": "sha512:`, "is not sha256:HEX"},
		"size":            {`"size": 5`, `"size": -5`, "size -5"},
		"mixed":           {`"master": "sha256:` + image("master one").Encoded(), `"master": "sha256:` + image("x").Encoded(), "do not belong together"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(string(good), test.old, test.new, 1)
			if bad == string(good) {
				t.Fatalf("%q is not in\n%s", test.old, good)
			}
			if _, err := ParseManifest([]byte(bad)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
		})
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`{"master":"m","timestamp":"2026-11-20T211348Z","hosts":{"a":{"name":"conffs-a.tgz"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			return
		}
		for _, file := range m.files() {
			if strings.Contains(file.Name, "/") || CheckMaster(m.Master) != nil {
				t.Errorf("accepted the file %q of %q", file.Name, m.Master)
			}
		}
		again, err := m.encode()
		must(t, err)
		same, err := ParseManifest(again)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, again)
		}
		if diff := cmp.Diff(m, same); diff != "" {
			t.Errorf("(-read +written and read):\n%s", diff)
		}
	})
}

func TestParseSums(t *testing.T) {
	hex := digest.FromString("x").Encoded()
	good := hex + "  rootfs.squashfs\n" + hex + "  conffs-a.tgz\n"
	got, err := ParseSums([]byte(good))
	must(t, err)
	want := map[string]digest.Digest{"rootfs.squashfs": digest.FromString("x"), "conffs-a.tgz": digest.FromString("x")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, bad := range map[string]string{
		"cut":          good[:len(good)-1],
		"short digest": hex[1:] + "  rootfs.squashfs\n",
		"upper case":   strings.ToUpper(hex) + "  rootfs.squashfs\n",
		"one space":    hex + " rootfs.squashfs\n",
		"binary mark":  hex + " *rootfs.squashfs\n",
		"path":         hex + "  ../rootfs.squashfs\n",
		"no name":      hex + "  \n",
		"empty line":   good + "\n",
		"twice":        good + hex + "  conffs-a.tgz\n",
	} {
		if sums, err := ParseSums([]byte(bad)); err == nil {
			t.Errorf("%s: accepted %q as %v", name, bad, sums)
		}
	}
}

func FuzzParseSums(f *testing.F) {
	f.Add([]byte(digest.FromString("x").Encoded() + "  rootfs.squashfs\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		sums, err := ParseSums(b)
		if err != nil {
			return
		}
		var files []File
		for name, d := range sums {
			files = append(files, File{Name: name, Digest: d})
		}
		again, err := ParseSums(encodeSums(files))
		if diff := cmp.Diff(sums, again); err != nil || diff != "" {
			t.Errorf("%v (-read +written and read):\n%s", err, diff)
		}
	})
}

func TestConffsName(t *testing.T) {
	for host, ok := range map[string]bool{
		"web01": true, "db.example.com": true, "A_b-c.1": true, strings.Repeat("h", 244): true,
		"": false, ".": false, "..": false, ".web": false, "-web": false, "a/b": false, "a b": false, "a\n": false,
		"ä": false, "a\x00": false, strings.Repeat("h", 245): false,
	} {
		name, err := ConffsName(host)
		if (err == nil) != ok {
			t.Errorf("%q: %q, %v; want accepted %v", host, name, err, ok)
		}
		if ok && (name != "conffs-"+host+".tgz" || !isConffsName(name)) {
			t.Errorf("%q gives %q", host, name)
		}
	}
}
