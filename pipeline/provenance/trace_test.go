package provenance

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const statusText = `Package: libc6
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Version: 2.36-9
Description: a library
 Package: not this one
 .
 the rest of it

Package: tzdata
Status: hold ok installed
Architecture: all
Version: 2024a-0+deb12u1

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1:1.0

Package: halfway
Status: install ok half-configured
Architecture: amd64
Version: 1:1.0~rc1
`

const extendedText = `Package: libc6
Architecture: amd64
Auto-Installed: 1

Package: tzdata
Architecture: amd64
Auto-Installed: 1

Package: halfway
Architecture: i386
Auto-Installed: 1
`

func packageLines(packages []debPackage) (lines []string) {
	for _, p := range packages {
		lines = append(lines, p.String())
	}
	return lines
}

func TestParsePackages(t *testing.T) {
	got, err := parsePackages([]byte(statusText), []byte(extendedText))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"libc6/now 2.36-9 amd64 [installed,automatic]",
		"tzdata/now 2024a-0+deb12u1 all [installed,automatic]",
		"halfway/now 1:1.0~rc1 amd64 [installed]",
	}
	if diff := cmp.Diff(want, packageLines(got)); diff != "" {
		t.Error(diff)
	}
}

func TestParsePackagesRefuses(t *testing.T) {
	for name, status := range map[string]string{
		"a line that is no field": "Package: a\nnonsense\n",
		"a line break of YAML's":  "Package: a\nStatus: install ok installed\nVersion: 1\u20282\nArchitecture: all\n",
		"a package without name":  "Status: install ok installed\nVersion: 1\nArchitecture: all\n",
	} {
		if got, err := parsePackages([]byte(status), nil); err == nil {
			t.Errorf("%s: got %v, want an error", name, got)
		}
	}
}

func TestPackageChanges(t *testing.T) {
	before := []debPackage{{"vim", "1", "amd64", false}, {"nano", "1", "amd64", false}, {"sed", "1", "amd64", true}, {"old", "1", "all", false}}
	after := []debPackage{{"vim", "2", "amd64", false}, {"nano", "1", "amd64", false}, {"sed", "1", "amd64", false}, {"new", "1", "all", true}}
	want := []string{
		"+ new/now 1 all [installed,automatic]",
		"- old/now 1 all [installed]",
		"- sed/now 1 amd64 [installed,automatic]",
		"+ sed/now 1 amd64 [installed]",
		"- vim/now 1 amd64 [installed]",
		"+ vim/now 2 amd64 [installed]",
	}
	if diff := cmp.Diff(want, packageChanges(before, after)); diff != "" {
		t.Error(diff)
	}
	if got := packageChanges(after, after); len(got) > 0 {
		t.Errorf("nothing changed, and got %v", got)
	}
}

// original is what the tool before this one wrote.
const original = `---
iso: debian-11-generic-amd64.raw
date: 2022-01-31T10:54:34+00:00
stages:

    - date: 2022-01-31T16:28:38+00:00
      playbook: pb_base.yml
      hostname: master-11-base
      source: debian-11/iso
      git-sha1: 241d000c558f572eb7c713030a9877333514adbc
      git-branch: master

`

const originalPackages = `---
packages:

    - playbook: pb_base.yml
      hostname: master-11-base
      packages: |
          - wget/now 1.21-1+b1 amd64 [installed,upgradable to: 1.21-1+deb11u1]
          + vim/stable,now 2:8.2.2434-3+deb11u1 amd64 [installed]

    - playbook: pb_none.yml
      hostname: master-11-none
      packages: |

`

var aStage = AppliedStage{Date: "2026-11-20T21:13:48+01:00", Playbook: "playbook_web.yml", Hostname: "web01", Source: "master-12-web",
	GitSHA1: "1234567e10", GitBranch: "feature: #1", SourceDigest: "sha256:00", Tool: "vauban 1.0"}

func TestImginfoGrows(t *testing.T) {
	text, err := imginfoList.extend(nil, imginfoHead("debian-12.raw", time.Date(2026, 11, 20, 21, 13, 48, 0, time.UTC)), aStage.lines())
	if err != nil {
		t.Fatal(err)
	}
	want := `---
iso: debian-12.raw
date: 2026-11-20T21:13:48+00:00
stages:

    - date: 2026-11-20T21:13:48+01:00
      playbook: playbook_web.yml
      hostname: web01
      source: master-12-web
      git-sha1: "1234567e10"
      git-branch: 'feature: #1'
      source-digest: sha256:00
      tool: vauban 1.0
`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Fatal(diff)
	}
	h, err := ParseHistory(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(History{ISO: "debian-12.raw", Date: "2026-11-20T21:13:48+00:00", Stages: []AppliedStage{aStage}}, h); diff != "" {
		t.Error(diff)
	}
}

func TestPackagesGrow(t *testing.T) {
	var text []byte
	var err error
	entries := []PackageChanges{
		{"playbook_base.yml", "master", "+ a/now 1 all [installed]\n- b/now 1 all [installed]\n"},
		{"playbook_none.yml", "master", ""},
		{"playbook_web.yml", "master", "+ c/now 1 all [installed]\n"},
	}
	for _, entry := range entries {
		if text, err = packagesList.extend(text, packagesHead, entry.lines()); err != nil {
			t.Fatal(err)
		}
	}
	h, err := ParseHistory(nil, text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(entries, h.Packages); diff != "" {
		t.Errorf("%s\n%s", diff, text)
	}
}

func TestOriginalsFilesGrow(t *testing.T) {
	for _, tt := range []struct {
		list  traceList
		text  string
		lines []string
	}{
		{imginfoList, original, aStage.lines()},
		{imginfoList, strings.TrimRight(original, "\n"), aStage.lines()},
		{imginfoList, strings.ReplaceAll(original, "\n    ", "\n"), aStage.lines()},
		{packagesList, originalPackages, PackageChanges{Playbook: "p.yml", Hostname: "h", Packages: "+ a/now 1 all [installed]\n"}.lines()},
	} {
		text, err := tt.list.extend([]byte(tt.text), "unused", tt.lines)
		if err != nil {
			t.Errorf("%v\n%s", err, tt.text)
			continue
		}
		if !strings.HasPrefix(string(text), tt.text) {
			t.Errorf("what was there has changed: %s", cmp.Diff(tt.text, string(text)))
		}
	}
	h, err := ParseHistory([]byte(original), []byte(originalPackages))
	if err != nil {
		t.Fatal(err)
	}
	if h.ISO != "debian-11-generic-amd64.raw" || len(h.Stages) != 1 || h.Stages[0].GitBranch != "master" || h.Stages[0].Date != "2022-01-31T16:28:38+00:00" ||
		len(h.Packages) != 2 || h.Packages[1].Packages != "" || strings.Count(h.Packages[0].Packages, "\n") != 2 {
		t.Errorf("read: %+v", h)
	}
}

func TestListsThatCannotGrow(t *testing.T) {
	for name, text := range map[string]string{
		"no YAML":             "\t- [",
		"no mapping":          "- a\n",
		"another list":        "packages:\n    - a: b\n",
		"the list is no list": "stages: seven\n",
		"in flow style":       "stages: [{date: 1}]\n",
		"not the last key":    "stages:\n    - date: 1\ntool: x\n",
		"ended":               "stages:\n    - date: 1\n...\n",
	} {
		if got, err := imginfoList.extend([]byte(text), "", aStage.lines()); err == nil {
			t.Errorf("%s: got %s, want an error", name, got)
		}
	}
}

func FuzzParsePackages(f *testing.F) {
	f.Add([]byte(statusText), []byte(extendedText))
	f.Fuzz(func(t *testing.T, status, extended []byte) {
		packages, err := parsePackages(status, extended)
		if err != nil {
			return
		}
		entry := PackageChanges{Playbook: "p", Hostname: "h"}
		for _, line := range packageChanges(nil, packages) {
			entry.Packages += line + "\n"
		}
		text, err := packagesList.extend(nil, packagesHead, entry.lines())
		if err != nil {
			t.Fatal(err)
		}
		if h, err := ParseHistory(nil, text); err != nil || h.Packages[0] != entry {
			t.Fatalf("wrote %q, read %+v, %v", text, h, err)
		}
	})
}

func FuzzImginfo(f *testing.F) {
	for _, text := range []string{original, originalPackages, "stages:\n- date: 1\n", "stages: []", "", "a: &a [*a]"} {
		f.Add([]byte(text), "playbook.yml", "main")
	}
	f.Fuzz(func(t *testing.T, text []byte, playbook, branch string) {
		stage := aStage
		stage.Playbook, stage.GitBranch = playbook, branch
		_, _ = ParseHistory(text, text)
		grown, err := imginfoList.extend(text, imginfoHead("base", time.Unix(0, 0)), stage.lines())
		if err != nil {
			return
		}
		if len(bytes.TrimSpace(text)) > 0 && !bytes.HasPrefix(grown, text) {
			t.Fatalf("what was there has changed: %q became %q", text, grown)
		}
		again, err := imginfoList.extend(grown, "", stage.lines())
		if err != nil {
			t.Fatalf("%q grew once only: %v", text, err)
		}
		entries, err := imginfoList.entries(again)
		var last AppliedStage
		if err == nil {
			err = entries[len(entries)-1].Decode(&last)
		}
		if err != nil {
			t.Fatalf("%q: %v", again, err)
		}
	})
}
