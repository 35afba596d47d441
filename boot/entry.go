package boot

import (
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"
	"text/template"
)

// Entry is what a boot loader is told of one machine.
type Entry struct {
	// Title names the entry in a menu.
	Title string
	// Kernel and Initramfs are where the loader finds them: URLs for iPXE,
	// paths on its own root for GRUB.
	Kernel, Initramfs string
	// CommandLine is the kernel's.
	CommandLine CommandLine
}

// NewEntry describes how a machine boots the release r from a server that has
// the published tree at the URL base. An empty host boots the master without
// any machine's files. The entry names the release itself, never what is
// current, so that a machine does not get half of one and half of another.
func NewEntry(r Release, host, base string) (Entry, error) {
	at := func(name string) string {
		// Names are checked when a release is opened; a slash stays one.
		return strings.TrimSuffix(base, "/") + (&url.URL{Path: "/" + path.Join(r.Path, name)}).EscapedPath()
	}
	extras, _ := r.Extras()
	entry := Entry{
		Title:     r.Master + " " + r.Name,
		Kernel:    at(kernelFile),
		Initramfs: at(initramfsFile),
		CommandLine: CommandLine{
			Rootfs: at(rootfsFile),
			Sums:   r.Sums,
			Extra:  extras,
		},
	}
	if host != "" {
		if err := r.checkHost(host); err != nil {
			return Entry{}, err
		}
		entry.Title = host + " (" + entry.Title + ")"
		entry.CommandLine.Conffs = at(conffsFile(host))
	}
	return entry, nil
}

// The kernel of a machine with UEFI finds its initramfs by the name that
// initrd= gives; others ignore the parameter.
var ipxeScript = template.Must(template.New("ipxe").Parse(`#!ipxe
# {{.Title}}
kernel {{.Kernel}} initrd=initramfs.img {{.Line}}
initrd --name initramfs.img {{.Initramfs}}
boot
`))

var grubEntry = template.Must(template.New("grub").Parse(`menuentry '{{.Title}}' {
    linux '{{.Kernel}}'{{range .Words}} '{{.}}'{{end}}
    initrd '{{.Initramfs}}'
}
`))

// WriteIPXE writes the entry as an iPXE script.
// Reference: https://ipxe.org/scripting
func (e Entry) WriteIPXE(w io.Writer) error { return e.write(w, ipxeScript) }

// WriteGRUB writes the entry as a menu entry of a grub.cfg. Every word is
// quoted, so that GRUB expands nothing.
// Reference: https://www.gnu.org/software/grub/manual/grub/grub.html#Shell_002dlike-scripting
func (e Entry) WriteGRUB(w io.Writer) error { return e.write(w, grubEntry) }

func (e Entry) write(w io.Writer, t *template.Template) error {
	line, err := e.CommandLine.Render()
	if err != nil {
		return fmt.Errorf("writing the boot entry %q: %w", e.Title, err)
	}
	for _, word := range []string{e.Kernel, e.Initramfs} {
		if err := checkParameter(word); err != nil {
			return fmt.Errorf("writing the boot entry %q: %w", e.Title, err)
		}
	}
	return t.Execute(w, struct {
		Entry
		Title, Line string
		Words       []string
	}{e, strings.Map(titleRune, e.Title), line, strings.Fields(line)})
}

// titleRune keeps a title from ending the comment or the quotes it stands in.
func titleRune(r rune) rune {
	if r < ' ' || r == '\'' || r == 0x7f {
		return ' '
	}
	return r
}
