package inside

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"vauban/internal/cmdline"
)

// kernelVersion is that of the kernel that the machine boots: the newest. It is
// empty where there is none.
func (c *call) kernelVersion() string {
	newest := ""
	entries, _ := c.root.ReadDir("/lib/modules")
	for _, entry := range entries {
		name := entry.Name()
		if c.root.exists(path.Join("/lib/modules", name, "kernel")) && (newest == "" || compareVersions(name, newest) > 0) {
			newest = name
		}
	}
	return newest
}

func (c *call) depmod() (int, bool) {
	c.readVerb()
	if c.verb == "" {
		c.args = append(c.args, c.version)
	}
	return c.real(), true
}

func (c *call) modinfo() (int, bool) {
	return c.realWith(append([]string{"-k", c.version}, c.args...)...), true
}

func (c *call) uname() (int, bool) {
	said, code := c.said(c.name, c.args...)
	if code != 0 {
		return code, true
	}
	release, _ := c.said(c.name, "-r")
	for line := range strings.SplitSeq(said, "\n") {
		if release != "" {
			line = strings.Replace(line, release, c.version, 1)
		}
		fmt.Fprintln(c.stdout, line)
	}
	return 0, true
}

// knowsKernel leaves the rest to do.
func (c *call) knowsKernel() (int, bool) { return 0, false }

func (c *call) modprobe() int {
	if !c.holds("-V", "-n", "--dry-run", "-D", "--show-depends", "-c", "--showconfig", "-R", "--resolve-alias") {
		return c.passed("a stage loads no module")
	}
	if c.version == "" {
		return c.real()
	}
	return c.realWith(append([]string{"-S", c.version}, c.args...)...)
}

// unknownKey returns the key of a line in which sysctl says that this kernel
// lacks it.
func unknownKey(line string) (key string, ok bool) {
	_, rest, found := strings.Cut(line, "cannot stat /proc/sys/")
	key, _, ends := strings.Cut(rest, ": No such file")
	return strings.ReplaceAll(key, "/", "."), found && ends
}

// sysctl fails where this kernel lacks a key, which the machine's own kernel,
// or a module, may have.
func (c *call) sysctl() int {
	if !c.holds("-w", "--write", "-p", "--load", "--system", "-f") && !strings.Contains(c.line(), "=") {
		return c.real()
	}
	var said bytes.Buffer
	code := c.start(output{c.stdout, &said}, c.name, c.args...)
	_, _ = c.stderr.Write(said.Bytes())
	if code == 0 || said.Len() == 0 {
		return code
	}
	var keys []string
	for line := range strings.Lines(said.String()) {
		key, ok := unknownKey(line)
		if !ok {
			return code
		}
		keys = append(keys, key)
	}
	c.note("the builder's kernel has no such key: " + strings.Join(keys, " "))
	return 0
}

// grubSettings prints the parameters in GRUB's settings, which are a shell's,
// below the root that it is given.
const grubSettings = `
GRUB_CMDLINE_LINUX= GRUB_CMDLINE_LINUX_DEFAULT=
for file in "$1/etc/default/grub" "$1/etc/default/grub.d"/*.cfg; do
	[ ! -e "$file" ] || . "$file" >&2 || exit
done
printf '%s\036%s' "$GRUB_CMDLINE_LINUX" "$GRUB_CMDLINE_LINUX_DEFAULT"`

// grubMenu returns a menu of the kernels that are installed, each with the
// parameters that the settings give it.
func (c *call) grubMenu() (string, int) {
	said, code := c.said("sh", "-c", grubSettings, "sh", strings.TrimSuffix(c.root.name, "/"))
	if code != 0 {
		return "", code
	}
	always, ordinary, _ := strings.Cut(said, "\036")
	var menu strings.Builder
	fmt.Fprintln(&menu, cmdline.MenuMark, "the boot server says how it starts.")
	fmt.Fprintln(&menu, strings.Join(append([]string{cmdline.MenuParameters}, strings.Fields(always+" "+ordinary)...), " "))
	for _, version := range c.kernels() {
		fmt.Fprintf(&menu, "menuentry 'Linux %s' {\n\tlinux\t/boot/vmlinuz-%s ro %s %s\n}\n", version, version, always, ordinary)
	}
	return menu.String(), 0
}

// kernels are the versions in /boot, the newest first.
func (c *call) kernels() (versions []string) {
	entries, _ := c.root.ReadDir("/boot")
	for _, entry := range entries {
		if version, found := strings.CutPrefix(entry.Name(), "vmlinuz-"); found {
			versions = append(versions, version)
		}
	}
	slices.SortFunc(versions, func(a, b string) int { return compareVersions(b, a) })
	return versions
}

// grub writes the menu that a machine with a disk would have: GRUB's own
// programs look for the disk.
func (c *call) grub() int {
	file := ""
	switch {
	case strings.HasPrefix(c.name, "update-grub"):
		file = "/boot/grub/grub.cfg"
	case c.name == "grub-mkconfig":
		file = grubOutput(c.args)
	case c.name == "grub-install":
		return 0
	}
	menu, code := c.grubMenu()
	if code != 0 {
		return code
	}
	if file == "" {
		fmt.Fprint(c.stdout, menu)
		return 0
	}
	if err := c.root.write(file, menu); err != nil {
		return c.fail(1, "vauban: writing GRUB's menu: %v", err)
	}
	return 0
}

// grubOutput returns the file that grub-mkconfig is to write.
func grubOutput(args []string) (file string) {
	for i, word := range args {
		switch {
		case i > 0 && (args[i-1] == "-o" || args[i-1] == "--output"):
			file = word
		case word == "-o" || word == "--output":
		case strings.HasPrefix(word, "-o"):
			file = word[2:]
		case strings.HasPrefix(word, "--output="):
			_, file, _ = strings.Cut(word, "=")
		}
	}
	return file
}

func (c *call) grubInstall() int {
	return c.passed("a machine that boots from the network has no boot loader of its own")
}
