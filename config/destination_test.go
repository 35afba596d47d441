package config

import (
	"fmt"
	"testing"
)

func TestDestinations(t *testing.T) {
	c, err := read("config.yml", `configuration: {network_allow: ["192.0.2.10:5432", 192.0.2.0/28]}
bookworm: {mirror: "http://mirror.example.com/debian", web: }
trixie: {mirror: "https://mirror.example.com:8443/debian", db: }
`)
	if err != nil {
		t.Fatal(err)
	}
	settings := Settings{DebianAptGetProxy: "http://192.0.2.2:3142", AnsibleRepo: "git@git.example.com:infra/ansible.git"}
	got := fmt.Sprint(c.Destinations(settings))
	if want := "[192.0.2.10:5432 192.0.2.0/28 192.0.2.2:3142 git.example.com:22 mirror.example.com:80 mirror.example.com:8443]"; got != want {
		t.Errorf("the destinations are %s, want %s", got, want)
	}
}

func TestServerOf(t *testing.T) {
	for address, want := range map[string]string{
		"https://user:word@git.example.com/x.git": "git.example.com:443",
		"ssh://git@git.example.com:2222/x.git":    "git.example.com:2222",
		"git.example.com:x.git":                   "git.example.com:22",
		"/srv/ansible.git":                        "",
		"./ansible:x":                             "",
		"file:///srv/ansible.git":                 "",
		"http://[fd00::1]:80/x":                   "[fd00::1]:80",
		"http://192.0.2.1:99999/x":                "",
		"":                                        "",
	} {
		got := ""
		if d, ok := serverOf(address); ok {
			got = d.String()
		}
		if got != want {
			t.Errorf("the server of %q is %q, want %q", address, got, want)
		}
	}
}
