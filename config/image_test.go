package config

import (
	"regexp"
	"strings"
	"testing"
)

func TestImageName(t *testing.T) {
	for want, parts := range map[string][]string{
		"master-12-web/playbook_web.yml": {"master-12-web", "playbook_web.yml"},
		"web":                            {"Web"},
		"a-b":                            {"a b"},
		"a--b":                           {"a--b"},
		"a__b":                           {"a__b"},
		"a-b.c":                          {"a___b.c"},
		"a-b/c":                          {"a..b", "-c-"},
		"x/t":                            {"..", "été"},
	} {
		if got := ImageName(parts...); got != want {
			t.Errorf("ImageName(%q) = %q, want %q", parts, got, want)
		}
	}
}

func TestBaseImages(t *testing.T) {
	for name, want := range map[string][2]string{
		"debian-12/iso": {"debian-12/raw-iso", "debian-12/iso"},
		"debian-12":     {"debian-12/raw-iso", "debian-12"},
		"iso":           {"iso/raw-iso", "iso"},
	} {
		b := &Base{Name: name}
		if b.RawImage() != want[0] || b.Image() != want[1] {
			t.Errorf("the images of %q are %q and %q, want %q", name, b.RawImage(), b.Image(), want)
		}
	}
}

func TestHostImages(t *testing.T) {
	c, err := read("config.yml", `
configuration: {always_apply_stage_in_conffs: [a.yml]}
bookworm:
  web:
    stages: [a.yml, sub/A.yml]
  web/host:
`)
	if err != nil {
		t.Fatal(err)
	}
	_, web, err := c.Find("web")
	if err != nil {
		t.Fatal(err)
	}
	if got := web.HostImage("Web1.example.com"); got != "web/web1.example.com" {
		t.Errorf("HostImage = %q", got)
	}
	for i, want := range []string{"web/h/a.yml", "web/h/a.yml-2", "web/h/a.yml-3"} {
		if got := web.HostStageImage(c, "h", i); got != want {
			t.Errorf("HostStageImage(%d) = %q, want %q", i, got, want)
		}
	}
	if err := c.CheckHosts(web, []string{"web1", "web2"}); err != nil {
		t.Errorf("CheckHosts of two hosts: %v", err)
	}
	for want, hosts := range map[string][]string{
		`the host "web1" of "web" and the host "Web1" of "web"`: {"web1", "Web1"},
		`the stage "a.yml" of "web"`:                            {"a.yml"},
		`the master "web/host" (line 6)`:                        {"host"},
	} {
		if err := c.CheckHosts(web, hosts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CheckHosts(%q) = %v, want %q", hosts, err, want)
		}
	}
}

// FuzzImageName checks every name against the grammar of registries.
// Source: https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-manifests
func FuzzImageName(f *testing.F) {
	for _, seed := range []string{"a", "A_.b", "--", "a/../b", "é", ""} {
		f.Add(seed)
	}
	const element = `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
	legal := regexp.MustCompile(`^` + element + `(/` + element + `)*$`)
	f.Fuzz(func(t *testing.T, name string) {
		got := ImageName(name, "b")
		if !legal.MatchString(got) {
			t.Errorf("ImageName(%q) = %q, which no registry takes", name, got)
		}
		if again := ImageName(got); again != got {
			t.Errorf("ImageName(%q) = %q, and again %q", name, got, again)
		}
	})
}
