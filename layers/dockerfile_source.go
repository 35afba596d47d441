package layers

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/openshift/imagebuilder"
)

// copySource is one thing that COPY or ADD copies.
type copySource struct {
	name string // of a file that is put into a directory
	dir  bool   // what is in it is copied, not itself
	walk func(visit func(treeEntry) error) error
	done func() // nil: there is nothing to do afterwards
}

func closeSources(sources []copySource) {
	for _, s := range sources {
		if s.done != nil {
			s.done()
		}
	}
}

// fileSource is a single file.
func fileSource(name string, e treeEntry) copySource {
	e.path = "."
	return copySource{name: name, walk: func(visit func(treeEntry) error) error { return visit(e) }}
}

// isHeredoc knows the word that stands for a heredoc among the sources.
func isHeredoc(source string) bool { return strings.HasPrefix(source, "<<") }

// heredoc is the text of a here-document: imagebuilder begins each line,
// instead of ending it, with a newline.
func heredoc(file imagebuilder.File) string {
	if file.Data == "" {
		return ""
	}
	return strings.TrimPrefix(file.Data, "\n") + "\n"
}

// heredocSource is a file whose content stands in the Dockerfile. It has no
// time of its own: it is as old as can be.
func heredocSource(file imagebuilder.File) copySource {
	return fileSource(file.Name, treeEntry{mode: 0o644, modified: time.Unix(0, 0), open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(heredoc(file))), nil
	}})
}

func isURL(source string) bool {
	return strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://")
}

func isGit(source string) bool {
	source, _, _ = strings.Cut(source, "#")
	return strings.HasPrefix(source, "git@") || strings.HasPrefix(source, "git://") || strings.HasPrefix(source, "ssh://") ||
		isURL(source) && strings.HasSuffix(source, ".git")
}

// download fetches an URL for ADD into a file without a name.
func (b *dockerBuild) download(from, checksum string) (copySource, error) {
	u, err := url.Parse(from)
	var bad *url.Error
	if errors.As(err, &bad) {
		err = bad.Err // without the address, which may hold a password
	}
	if err != nil {
		return copySource{}, fmt.Errorf("reading the address: %w", err)
	}
	request, err := http.NewRequestWithContext(b.ctx, http.MethodGet, from, nil)
	if err != nil {
		return copySource{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return copySource{}, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return copySource{}, fmt.Errorf("downloading %q: %s", u.Redacted(), response.Status)
	}
	f, err := os.CreateTemp("", "vauban-add-")
	if err != nil {
		return copySource{}, err
	}
	if err := errors.Join(os.Remove(f.Name()), verifyCopy(f, response.Body, checksum)); err != nil {
		return copySource{}, errors.Join(fmt.Errorf("downloading %q: %w", u.Redacted(), err), f.Close())
	}
	e := treeEntry{mode: 0o600, modified: time.Unix(0, 0), open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(f, 0, 1<<62)), nil
	}}
	if t, err := http.ParseTime(response.Header.Get("Last-Modified")); err == nil {
		e.modified = t
	}
	source := fileSource(path.Base(u.Path), e)
	source.done = func() { f.Close() }
	return source, nil
}

// verifyCopy copies and compares with the checksum, when there is one.
func verifyCopy(w io.Writer, r io.Reader, checksum string) error {
	if checksum == "" {
		_, err := io.Copy(w, r)
		return err
	}
	want, err := digest.Parse(checksum)
	if err != nil {
		return fmt.Errorf("--checksum=%s: %w", checksum, err)
	}
	verifier := want.Verifier()
	if _, err := io.Copy(io.MultiWriter(w, verifier), r); err != nil {
		return err
	}
	if !verifier.Verified() {
		return fmt.Errorf("its content is not that of --checksum=%s", checksum)
	}
	return nil
}

// opener opens a file of the context again and again.
func (c *buildContext) opener(name string) func() (fs.File, error) {
	return func() (fs.File, error) { return c.root.Open(name) }
}
