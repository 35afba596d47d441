package ansible

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// Calls of commands are led to their stand-ins; the same words in the text that
// a task writes to a file stay as they are.
func TestLeadToStandIns(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	// BIN stands where a path was replaced
	tests := map[string]string{
		"/sbin/reboot":                                               "BIN/reboot",
		"/etc/init.d/ssh restart":                                    "BIN/service ssh restart",
		"test -x /etc/init.d/x && /etc/init.d/x start":               "test -x /etc/init.d/x && BIN/service x start",
		`s="$(/etc/init.d/x status)"`:                                `s="$(BIN/service x status)"`,
		"/usr/bin/systemctl restart x":                               "BIN/systemctl restart x",
		"true && /sbin/reboot; /bin/mount -a":                        "true && BIN/reboot; BIN/mount -a",
		"if ! /sbin/reboot; then sudo /bin/mount -a; fi":             "if ! BIN/reboot; then sudo BIN/mount -a; fi",
		"true &&\\\n  /sbin/reboot":                                  "true &&\\\n  BIN/reboot",
		"true && \\\n\t/sbin/reboot":                                 "true && \\\n\tBIN/reboot",
		"chmod u-s /usr/bin/at \\\n\t/bin/mount \\\n\t/usr/bin/su":   "chmod u-s /usr/bin/at \\\n\t/bin/mount \\\n\t/usr/bin/su",
		"all=(/bin/mount\n/bin/umount); (/bin/mount -a)":             "all=(/bin/mount\n/bin/umount); (BIN/mount -a)",
		"# don't\n/sbin/reboot # isn't\n(/bin/mount -a)":             "# don't\nBIN/reboot # isn't\n(BIN/mount -a)",
		"x=$(/bin/mount | wc -l)":                                    "x=$(BIN/mount | wc -l)",
		`x="$(/bin/mount | wc -l) $#" && /sbin/reboot`:               `x="$(BIN/mount | wc -l) $#" && BIN/reboot`,
		`printf \' && /sbin/reboot`:                                  `printf \' && BIN/reboot`,
		"cat <<EOF | /bin/mount -a\n/sbin/reboot\nEOF\n":             "cat <<EOF | BIN/mount -a\n/sbin/reboot\nEOF\n",
		"echo $((1<<2))\n/sbin/reboot":                               "echo $((1<<2))\nBIN/reboot",
		"cat <<<EOF\n/sbin/reboot\nEOF":                              "cat <<<EOF\nBIN/reboot\nEOF",
		"/usr/local/bin/reboot; /sbin/rebooted":                      "/usr/local/bin/reboot; /sbin/rebooted",
		"ls /sbin/reboot":                                            "ls /sbin/reboot",
		"cat >x <<'EOF'\n#!/bin/sh\n/sbin/reboot\nEOF\n/sbin/reboot": "cat >x <<'EOF'\n#!/bin/sh\n/sbin/reboot\nEOF\nBIN/reboot",
		"cat >x <<-\"END\"\n\t/sbin/reboot\n\tEND":                   "cat >x <<-\"END\"\n\t/sbin/reboot\n\tEND",
		"echo '@daily root true && /sbin/reboot now' >x":             "echo '@daily root true && /sbin/reboot now' >x",
		`echo "sync; /sbin/reboot -f; \"; /bin/mount" >x`:            `echo "sync; /sbin/reboot -f; \"; /bin/mount" >x`,
		"printf 'a\n/sbin/reboot\n' >x; /bin/mount -a":               "printf 'a\n/sbin/reboot\n' >x; BIN/mount -a",
	}
	lines, err := json.Marshal(tests)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-B", "-c", `import json, sys
sys.path.insert(0, 'ansible_collections/vauban/build/plugins/plugin_utils')
import shell
names = ('mount', 'reboot', 'systemctl', 'umount')
json.dump({line: shell.lead(line, names, 'BIN') for line in json.load(sys.stdin)}, sys.stdout)`)
	cmd.Stdin = strings.NewReader(string(lines))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	for line, want := range tests {
		if got[line] != want {
			t.Errorf("%q became\n%q, want\n%q", line, got[line], want)
		}
	}
}
