package vault

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"path"
	"strings"
)

// Limits of what is read: an identity has about 6 KiB in 11 entries.
const (
	maxFile    = 1 << 20  // bytes of an encrypted file, and of its content
	maxPart    = 64 << 10 // bytes of one key
	maxEntries = 64
)

// writeArchive packs the parts of a host's identity as
// <host>/etc/ssh/ssh_host_<type>_key{,.pub} and <host>/etc/machine-id.
func writeArchive(host string, p parts) ([]byte, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, dir := range []string{host, host + "/etc", host + "/etc/ssh"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}); err != nil {
			return nil, fmt.Errorf("packing %q: %w", dir, err)
		}
	}
	for _, name := range partNames() {
		text, ok := p[name]
		if !ok {
			continue
		}
		at, mode := partPath(name)
		header := &tar.Header{Typeflag: tar.TypeReg, Name: host + "/" + at, Mode: int64(mode), Size: int64(len(text))}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("packing %q: %w", at, err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			return nil, fmt.Errorf("packing %q: %w", at, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("packing the identity of %q: %w", host, err)
	}
	return buffer.Bytes(), nil
}

// readArchive is the reverse of writeArchive. It unpacks nothing to disk, and
// takes the files it knows the names of; others, as a DSA key, are left out.
func readArchive(host string, data []byte) (parts, error) {
	names := map[string]string{}
	for _, name := range partNames() {
		at, _ := partPath(name)
		names[host+"/"+at] = name
	}
	p := parts{}
	r := tar.NewReader(bytes.NewReader(data))
	for range maxEntries {
		header, err := r.Next()
		if err == io.EOF {
			return p, nil
		}
		if err != nil {
			return nil, fmt.Errorf("unpacking: %w", err)
		}
		if err := readEntry(r, header, host, names, p); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("more than %d entries", maxEntries)
}

func readEntry(r io.Reader, header *tar.Header, host string, names map[string]string, p parts) error {
	at := path.Clean(header.Name)
	if !isWithin(host, at) {
		return fmt.Errorf("%q is in it, which is not of this host: two hosts must not share an identity, "+
			"remove the file to have a new one created", header.Name)
	}
	name, ok := names[at]
	if !ok {
		return nil
	}
	if header.Typeflag != tar.TypeReg {
		return fmt.Errorf("%q is not a regular file", header.Name)
	}
	if _, again := p[name]; again {
		return fmt.Errorf("%q is in it twice", header.Name)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxPart+1))
	if err != nil {
		return fmt.Errorf("unpacking %q: %w", header.Name, err)
	}
	if len(text) > maxPart {
		return fmt.Errorf("%q has more than %d bytes", header.Name, maxPart)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return fmt.Errorf("%q is empty", header.Name)
	}
	p[name] = string(text)
	return nil
}

// isWithin says whether a cleaned name is the host's folder, one above it, or
// in it.
func isWithin(host, name string) bool {
	return name == "." || strings.HasPrefix(name+"/", host+"/") || strings.HasPrefix(host+"/", name+"/")
}
