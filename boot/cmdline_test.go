package boot

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

const testURL = "http://boot.example.com/web/releases/r1/rootfs.squashfs"

func TestCommandLine(t *testing.T) {
	sums := digest.FromString("sums")
	for _, test := range []struct {
		name string
		line CommandLine
		want string
	}{
		{
			name: "least",
			line: CommandLine{Rootfs: testURL},
			want: "root=live:" + testURL + " rd.neednet=1 ip=dhcp console=tty0 console=ttyS0,115200",
		},
		{
			name: "all",
			line: CommandLine{
				Rootfs:   testURL,
				Conffs:   "https://[2001:db8::1]:8080/conffs-web1.tgz",
				Sums:     sums,
				Network:  "eth0:dhcp",
				Consoles: []string{"hvc0"},
				Extra:    []string{"net.ifnames=0", "quiet"},
			},
			want: "root=live:" + testURL + " live.updates=https://[2001:db8::1]:8080/conffs-web1.tgz" +
				" vauban.sums=" + sums.String() + " rd.neednet=1 ip=eth0:dhcp console=hvc0 net.ifnames=0 quiet",
		},
		{
			name: "no console",
			line: CommandLine{Rootfs: testURL, Consoles: []string{}},
			want: "root=live:" + testURL + " rd.neednet=1 ip=dhcp",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.line.Render()
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestCommandLineRefused(t *testing.T) {
	with := func(extra ...string) CommandLine { return CommandLine{Rootfs: testURL, Extra: extra} }
	for name, test := range map[string]struct {
		line CommandLine
		want string
	}{
		"no rootfs":        {CommandLine{}, "is not an http:// or https:// address"},
		"file":             {CommandLine{Rootfs: "file:///rootfs"}, "is not an http:// or https:// address"},
		"conffs elsewhere": {CommandLine{Rootfs: testURL, Conffs: "web1.tgz"}, "address of the conffs"},
		"digest":           {CommandLine{Rootfs: testURL, Sums: "sha256:12"}, "is not a sha256 digest"},
		"algorithm":        {CommandLine{Rootfs: testURL, Sums: digest.SHA512.FromString("")}, "is not a sha256 digest"},
		"space":            {with("a b"), `has the character ' '`},
		"newline":          {with("a\nb"), `has the character '\n'`},
		"expansion":        {with("${net0/mac}"), `has the character '$'`},
		"quote":            {with("a'b"), `has the character '\''`},
		"non-ASCII":        {with("é"), `has the character 'é'`},
		"empty":            {with(""), "is empty"},
		"shell":            {with("rd.shell"), "root shell"},
		"shell, given":     {with("rd.shell=1"), "root shell"},
		"break":            {with("rd.break=mount"), "root shell"},
		"debug shell":      {with("systemd.debug_shell"), "root shell"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := test.line.Render()
			if err == nil {
				t.Fatalf("rendered %q", got)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %q, want one with %q", err, test.want)
			}
		})
	}
}

func TestCommandLineLength(t *testing.T) {
	line := CommandLine{Rootfs: testURL}
	short, err := line.Render()
	if err != nil {
		t.Fatal(err)
	}
	line.Extra = []string{strings.Repeat("x", maxCommandLine-len(short)-1)}
	if got, err := line.Render(); err != nil || len(got) != maxCommandLine {
		t.Errorf("got %d bytes and %v, want %d and no error", len(got), err, maxCommandLine)
	}
	line.Extra[0] += "x"
	if _, err := line.Render(); err == nil {
		t.Errorf("a line of %d bytes was rendered", maxCommandLine+1)
	}
}

// An older version's manifest.json may hold anything.
func TestExtras(t *testing.T) {
	r := Release{Master: "web", Name: "r1", Path: "web/releases/r1", Parameters: []string{"ro", "audit=1", "root=/dev/sda1", "quiet",
		"vauban.sums=sha256:0", "rd.systemd.debug_shell", "init=/bin/sh", "dyndbg=$x", "mine=1", "theirs=1"}, Allowed: []string{"mine"}}
	entry, err := NewEntry(r, "", "http://boot.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"audit=1", "quiet", "mine=1"}, entry.CommandLine.Extra); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, refused := r.Extras()
	var reasons []string
	for _, err := range refused {
		reasons = append(reasons, err.Error())
	}
	for i, want := range []string{`"root=/dev/sda1" is never`, `"vauban.sums=sha256:0" is never`, `debug_shell" is never`, `"init=/bin/sh" is never`, "has the character '$'", `add "theirs" to kernel_parameters`} {
		if i >= len(reasons) || !strings.Contains(reasons[i], want) {
			t.Errorf("got %q, want one with %q", reasons, want)
		}
	}
}
