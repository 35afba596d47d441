package cmdline

// A stage that calls update-grub writes a menu whose first line begins with
// MenuMark, and whose second has all kernel parameters of GRUB's settings after
// MenuParameters. GRUB's own menus have neither.
const (
	MenuMark       = "# A machine that boots from the network does not read this:"
	MenuParameters = "# kernel parameters:"
)
