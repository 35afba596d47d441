package daemon

import (
	"strings"
	"testing"
)

func TestIsShim(t *testing.T) {
	for name, test := range map[string]struct {
		args     []string
		variable string
		want     bool
	}{
		"by name":              {[]string{"/state/bin/containerd-shim-runc-v2", "-v"}, "", true},
		"started by itself":    {[]string{"/usr/bin/vauban", "-namespace", "vauban", "-id", "x"}, "2", true},
		"a user's variable":    {[]string{"vauban", "build", "web"}, "1", false},
		"without the variable": {[]string{"vauban", "-namespace", "x"}, "", false},
		"nothing":              {nil, "", false},
		"no command":           {[]string{"vauban"}, "1", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isShim(test.args, test.variable); got != test.want {
				t.Errorf("isShim(%q, %q) = %v, want %v", test.args, test.variable, got, test.want)
			}
		})
	}
}

func TestCheckStateDirRefusesNamesThatMountOptionsCannotHold(t *testing.T) {
	err := CheckStateDir("/var/lib/a:b")
	if err == nil || !strings.Contains(err.Error(), "choose another name") {
		t.Errorf("the error is %v; want what to do", err)
	}
}

func TestSocketPathIsShortWhateverTheStateDirectory(t *testing.T) {
	p := pathsOf("/" + strings.Repeat("long/", 50))
	if n := len(p.socket() + ".ttrpc"); n > 107 {
		t.Errorf("the socket's path has %d bytes; unix sockets take 107", n)
	}
	if p.socket() == pathsOf("/other").socket() {
		t.Error("two state directories share a socket")
	}
}

func TestWithoutTrace(t *testing.T) {
	for text, want := range map[string]string{
		"all is well\n": "all is well\n",
		"starting\npanic: page 3\n\ngoroutine 1 [running]:\nmain.main()\n": "starting\npanic: page 3",
		"goroutine 7 [running]:\nx()\n":                                    "goroutine 7 [running]:",
		"a\nfatal error: fault\n[signal":                                   "a\nfatal error: fault",
	} {
		if got := string(withoutTrace([]byte(text))); got != want {
			t.Errorf("withoutTrace(%q) = %q, want %q", text, got, want)
		}
	}
}
