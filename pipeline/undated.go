package pipeline

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"path"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
)

// datedFile is a file whose content differs between two runs that did the
// same. docs/registry.md lists them.
type datedFile struct {
	pattern string // of [path.Match]
	// undate rewrites each line without its dates. Nil: the content as a
	// whole tells nothing, as it is derived from other files, or is random
	// and ships to nobody.
	undate func(line []byte) []byte
}

// datedFiles are the rules of one comparison.
type datedFiles []datedFile

// dated are those that hold for masters and hosts alike.
var dated = datedFiles{
	{"imginfo", undateImginfo},
	{"var/log/dpkg.log", undateText},
	{"var/log/alternatives.log", undateText},
	{"var/log/bootstrap.log", undateText},
	{"var/log/apt/history.log", undateText},
	{"var/log/apt/term.log", undateText},
	{"etc/pam.d/*", undatePam},
	{"etc/shadow", undateShadow},
	{"etc/shadow-", undateShadow},
	// Dates, inode numbers and what is in the files that they index.
	{"var/cache/ldconfig/aux-cache", nil},
	{"var/cache/fontconfig/*", nil},
	{"var/cache/man/index.db", nil},
	{"var/cache/man/*/index.db", nil},
}

// unshipped are the keys and seeds that packages make of random numbers and
// that no root filesystem ships: see export/exclude.txt. A host's conffs do
// ship them, and a certificate is never made by a package.
var unshipped = datedFiles{
	{"etc/ssh/ssh_host_*_key", nil},
	{"etc/ssh/ssh_host_*_key.pub", nil},
	{"etc/ssl/private/ssl-cert-snakeoil.key", nil},
	{"etc/ssl/certs/ssl-cert-snakeoil.pem", nil},
	{"var/lib/systemd/random-seed", nil},
	{"var/lib/systemd/credential.secret", nil},
}

// find returns the rule for a path, relative to the root.
func (all datedFiles) find(name string) (datedFile, bool) {
	for _, f := range all {
		if ok, _ := path.Match(f.pattern, name); ok {
			return f, true
		}
	}
	return datedFile{}, false
}

// undateImginfo leaves out what differs whenever a stage is run again: its
// date, and the digest of the image below, which holds the dates of the
// stages before. The digest is compared where it matters: as the parent's.
func undateImginfo(line []byte) []byte {
	field := bytes.TrimPrefix(bytes.TrimSpace(line), []byte("- "))
	if bytes.HasPrefix(field, []byte("date:")) || bytes.HasPrefix(field, []byte("source-digest:")) {
		return nil
	}
	return line
}

// timeStamp is a moment as dpkg, apt, update-alternatives and ansible write it.
var timeStamp = regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]{1,2}\d\d:\d\d:\d\d(\.\d+)?`)

func undateText(line []byte) []byte { return timeStamp.ReplaceAll(line, []byte("DATE")) }

// undatePam undates the comment that the pamd module leaves.
func undatePam(line []byte) []byte {
	if bytes.HasPrefix(line, []byte("# Updated by Ansible - ")) {
		return undateText(line)
	}
	return line
}

// undateShadow leaves out the day of an account's last change of password. The
// day 0 is none: it wants another password at once.
// Source: shadow(5)
func undateShadow(line []byte) []byte {
	const day = 2
	fields := bytes.Split(line, []byte(":"))
	if len(fields) > day && len(fields[day]) > 0 && fields[day][0] >= '1' && fields[day][0] <= '9' {
		fields[day] = []byte("DAY")
	}
	return bytes.Join(fields, []byte(":"))
}

// backupName is what ansible calls a copy of a file that it changes: with its
// process id and the time.
var backupName = regexp.MustCompile(`\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~$`)

// digestUndated digests a tar's entries without their times, and without what
// the rules leave out.
func digestUndated(r io.Reader, rules datedFiles) (digest.Digest, error) {
	all := sha256.New()
	for entries := tar.NewReader(r); ; {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			// What follows the last entry is the writer's last word.
			_, err := io.Copy(io.Discard, r)
			return digest.NewDigest(digest.SHA256, all), err
		} else if err != nil {
			return "", err
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		content := sha256.New()
		rule, ok := rules.find(name)
		switch {
		case h.Typeflag != tar.TypeReg || !ok && !strings.HasSuffix(name, ".pyc"):
			_, err = io.Copy(content, entries)
		case !ok:
			err = copyUndatedCode(content, entries)
		case rule.undate == nil:
			h.Size = 0
		default:
			h.Size = 0 // as long as its dates
			err = copyUndated(content, entries, rule.undate)
		}
		if err != nil {
			return "", err
		}
		err = json.NewEncoder(all).Encode([]any{h.Typeflag, []byte(backupName.ReplaceAllString(h.Name, ".PID.DATE~")), []byte(h.Linkname),
			h.Mode, h.Uid, h.Gid, h.Size, h.Devmajor, h.Devminor, xattrs(h), content.Sum(nil)})
		if err != nil {
			return "", err
		}
	}
}

// copyUndated copies a text line by line.
func copyUndated(w io.Writer, text io.Reader, undate func([]byte) []byte) error {
	for lines := bufio.NewReader(text); ; {
		line, err := lines.ReadBytes('\n')
		if _, err := w.Write(undate(line)); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// copyUndatedCode copies Python's byte-code without the date of its source,
// which stands in a header of 16 bytes when its flags are 0. The source is
// compared by itself.
// Source: https://peps.python.org/pep-0552/
func copyUndatedCode(w io.Writer, code io.Reader) error {
	header := make([]byte, 16)
	n, err := io.ReadFull(code, header)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if n == len(header) && bytes.Equal(header[4:8], make([]byte, 4)) {
		clear(header[8:12])
	}
	if _, err := w.Write(header[:n]); err != nil {
		return err
	}
	_, err = io.Copy(w, code)
	return err
}

// xattrs are the extended attributes of an entry; encoding/json sorts them.
func xattrs(h *tar.Header) map[string][]byte {
	found := map[string][]byte{}
	for name, value := range h.PAXRecords {
		if name != "mtime" && name != "atime" && name != "ctime" {
			found[name] = []byte(value)
		}
	}
	return found
}
