package export

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExclusions(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{
		"etc/ssh/ssh_host_rsa_key", "etc/ssh/sshd_config", "tmp/.hidden", "tmp/seen", "usr/lib/modules/6.1/kernel/a.ko",
		"opt/a*b", "opt/axb", "file",
	} {
		path := filepath.Join(root, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, nil, 0o644))
	}
	must(t, os.Symlink("usr/lib", filepath.Join(root, "lib")))
	must(t, os.Symlink("/etc", filepath.Join(root, "outside")))
	must(t, os.Symlink("nowhere", filepath.Join(root, "dangling")))

	tests := map[string]struct {
		list string
		want []string
	}{
		"empty":                     {"# nothing\n\n", nil},
		"leading slash":             {"/etc/ssh/ssh_host_*", []string{"etc/ssh/ssh_host_rsa_key"}},
		"hidden names match":        {"tmp/*", []string{"tmp/.hidden", "tmp/seen"}},
		"a directory goes whole":    {"etc/ssh/", []string{"etc/ssh"}},
		"overlapping":               {"etc\netc/ssh/*", []string{"etc", "etc/ssh/ssh_host_rsa_key", "etc/ssh/sshd_config"}},
		"kept again":                {"etc/ssh/*\n!etc/ssh/sshd*", []string{"etc/ssh/ssh_host_rsa_key"}},
		"the last line wins":        {"!tmp/seen\ntmp/seen", []string{"tmp/seen"}},
		"links are not followed":    {"lib/modules/*\noutside/*", nil},
		"a link itself":             {"lib\ndangling", []string{"dangling", "lib"}},
		"quoted":                    {`opt/a\*b`, []string{"opt/a*b"}},
		"below a file":              {"file/x", nil},
		"not there":                 {"no/such/thing\nno*", nil},
		"one star is one directory": {"usr/*/a.ko", nil},
		"stars in several parts":    {"usr/l*/mod*/*", []string{"usr/lib/modules/6.1"}},
		"sorted":                    {"tmp/seen\nfile", []string{"file", "tmp/seen"}},
		"white space around a line": {"  file\t\n", []string{"file"}},
		"class":                     {"opt/a[x-z]b", []string{"opt/axb"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			list, err := ParseExclusions("list", strings.NewReader(test.list))
			must(t, err)
			got, err := list.find(root)
			must(t, err)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseExclusionsNamesAllMistakes(t *testing.T) {
	_, err := ParseExclusions("ours.txt", strings.NewReader("etc/../x\ngood\na[\n**/x\n/\n"))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"ours.txt:1:", "ours.txt:3:", "ours.txt:4:", "ours.txt:5:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "ours.txt:2:") {
		t.Errorf("error names the good line:\n%v", err)
	}
}

func TestDefaultExclusions(t *testing.T) {
	if len(DefaultExclusions()) < 20 {
		t.Errorf("only %d patterns", len(DefaultExclusions()))
	}
}

func FuzzParseExclusions(f *testing.F) {
	f.Add(defaultExclusions)
	f.Add("!a/[b-\n\\")
	f.Add("0\x00")
	f.Add(strings.Repeat("0", 256))
	root := f.TempDir()
	f.Fuzz(func(t *testing.T, list string) {
		parsed, err := ParseExclusions("list", strings.NewReader(list))
		if err != nil {
			return
		}
		found, err := parsed.find(root) // an empty directory
		if err != nil || len(found) > 0 {
			t.Errorf("%q found %q, %v in an empty tree", list, found, err)
		}
	})
}
