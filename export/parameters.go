package export

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// A stage that calls update-grub writes this menu (layers/inside/kernel): its
// first line, and what begins the one that has the kernel's parameters.
const (
	grubMenu       = "boot/grub/grub.cfg"
	grubMenuMark   = "# A machine that boots from the network does not read this:"
	grubParameters = "# kernel parameters:"
)

// parameters returns the kernel parameters that playbooks put into GRUB's
// settings, none where no stage wrote the menu. No link leads out of root.
func parameters(root string) ([]string, error) {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	menu, err := dir.Open(grubMenu)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading the kernel parameters: %w", err)
	}
	defer menu.Close()
	lines := bufio.NewScanner(menu)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), grubMenuMark) || !lines.Scan() {
		return nil, nil // GRUB's own, of a machine with a disk
	}
	line, _ := strings.CutPrefix(lines.Text(), grubParameters)
	return strings.Fields(line), nil
}
