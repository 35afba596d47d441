package boot

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"

	"vauban/internal/cmdline"
)

// maxCommandLine is the longest kernel command line, in bytes, that is handed
// out. Linux on x86 keeps 2,048 (COMMAND_LINE_SIZE), loaders cut silently.
const maxCommandLine = 2000

// CommandLine is the kernel command line of a machine that boots a release.
type CommandLine struct {
	// Rootfs is the URL of the root filesystem.
	Rootfs string
	// Conffs is the URL of the machine's own files; none when empty.
	Conffs string
	// Sums is the digest of the SHA256SUMS beside Rootfs. When empty, the
	// machine boots without verifying what it fetches.
	Sums digest.Digest
	// Network is dracut's ip= parameter; "dhcp" when empty.
	Network string
	// Consoles are the kernel's consoles, of which the last one is
	// /dev/console; tty0 and ttyS0 at 115,200 baud when nil.
	Consoles []string
	// Extra are further parameters, one each.
	Extra []string
}

// shellParameters would give whoever stands at the console a root shell.
var shellParameters = []string{"rd.shell", "rdshell", "rd.break", "rdbreak", "systemd.debug_shell", "systemd.debug-shell"}

// Render returns the command line. It refuses one that is longer than 2,000
// bytes, that would be split or expanded on its way through a boot loader, or
// that opens a root shell.
func (c CommandLine) Render() (string, error) {
	parameters, err := c.parameters()
	if err != nil {
		return "", err
	}
	for _, p := range parameters {
		if err := checkParameter(p); err != nil {
			return "", err
		}
	}
	line := strings.Join(parameters, " ")
	if len(line) > maxCommandLine {
		return "", fmt.Errorf("the kernel command line has %d bytes, more than %d, where loaders cut it: shorten the URLs or the extra parameters", len(line), maxCommandLine)
	}
	return line, nil
}

func (c CommandLine) parameters() ([]string, error) {
	if err := checkURL(c.Rootfs); err != nil {
		return nil, fmt.Errorf("address of the root filesystem: %w", err)
	}
	parameters := []string{"root=live:" + c.Rootfs}
	if c.Conffs != "" {
		if err := checkURL(c.Conffs); err != nil {
			return nil, fmt.Errorf("address of the conffs: %w", err)
		}
		parameters = append(parameters, "live.updates="+c.Conffs)
	}
	if c.Sums != "" {
		if err := c.Sums.Validate(); err != nil || c.Sums.Algorithm() != digest.SHA256 {
			return nil, fmt.Errorf("digest %q of SHA256SUMS is not a sha256 digest", c.Sums)
		}
		parameters = append(parameters, "vauban.sums="+c.Sums.String())
	}
	network := c.Network
	if network == "" {
		network = "dhcp"
	}
	parameters = append(parameters, "rd.neednet=1", "ip="+network)
	consoles := c.Consoles
	if consoles == nil {
		consoles = []string{"tty0", "ttyS0,115200"}
	}
	for _, console := range consoles {
		parameters = append(parameters, "console="+console)
	}
	return append(parameters, c.Extra...), nil
}

// checkURL accepts what the initramfs accepts.
func checkURL(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q is not an http:// or https:// address", address)
	}
	return nil
}

func checkParameter(parameter string) error {
	if err := cmdline.Check(parameter); err != nil {
		return err
	}
	name, _, _ := strings.Cut(parameter, "=")
	for _, shell := range shellParameters {
		if name == shell {
			return fmt.Errorf("kernel parameter %q would open a root shell on the console: type it at the boot loader when it is needed", parameter)
		}
	}
	return nil
}
