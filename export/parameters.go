package export

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"vauban/internal/beneath"
	"vauban/internal/cmdline"
)

const (
	// grubMenu is what a stage that calls update-grub writes.
	grubMenu = "boot/grub/grub.cfg"
	// maxMenu bounds the menu, in bytes. GRUB's own has some 1 KiB for each kernel.
	maxMenu = 4 << 20
)

// parameters returns all kernel parameters in GRUB's settings, whatever they
// are; none where no stage wrote the menu. No link leads out of root.
func parameters(ctx context.Context, root string) ([]string, error) {
	menu, err := beneath.ReadFile(ctx, root, grubMenu, maxMenu)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading the kernel parameters: %w", err)
	}
	all, err := parametersIn(menu)
	if err != nil {
		return nil, fmt.Errorf("reading the kernel parameters in /%s: %w", grubMenu, err)
	}
	return all, nil
}

// parametersIn reads them in the text of a menu.
func parametersIn(menu []byte) ([]string, error) {
	lines := bufio.NewScanner(bytes.NewReader(menu))
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), cmdline.MenuMark) || !lines.Scan() {
		return nil, lines.Err() // GRUB's own, of a machine with a disk
	}
	line, _ := strings.CutPrefix(lines.Text(), cmdline.MenuParameters)
	return cmdline.Split(line)
}
