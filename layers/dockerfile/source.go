package dockerfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/openshift/imagebuilder"

	"vauban/internal/outward"
	"vauban/internal/pace"
	"vauban/internal/retry"
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
	response, done, err := b.get(from)
	if err != nil {
		return copySource{}, fmt.Errorf("downloading %q: %w", public(u), err)
	}
	defer done()
	f, err := os.CreateTemp("", "vauban-add-")
	if err != nil {
		return copySource{}, err
	}
	if err := errors.Join(os.Remove(f.Name()), verifyCopy(f, b.bounded(response.Body), checksum)); err != nil {
		return copySource{}, errors.Join(fmt.Errorf("downloading %q: %w", public(u), err), f.Close())
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

// The bounds of a file that ADD downloads.
const (
	maxAdded   = 8 << 30 // in bytes
	maxAddTime = 2 * time.Hour
)

// get asks for a file, again after the time that a server asks to wait; done ends
// the request.
func (b *dockerBuild) get(from string) (_ *http.Response, done func(), err error) {
	ctx, cancel := context.WithTimeoutCause(b.ctx, cmp.Or(b.addTime, maxAddTime), errAddTime)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: 30 * time.Second, ControlContext: outward.Control}).DialContext
	transport.MaxResponseHeaderBytes = 256 << 10
	end := func() { cancel(); transport.CloseIdleConnections() }
	client := &http.Client{Transport: &outward.Transport{Base: &pace.Transport{Base: transport, Window: b.addWindow}}}
	for waited := time.Duration(0); ; {
		response, err := ask(ctx, client, from)
		if err == nil {
			return response, func() { response.Body.Close(); end() }, nil
		}
		busy, isBusy := errors.AsType[*busyError](err)
		if isBusy {
			waited += busy.wait
		}
		if isBusy && waited > retry.MaxWait {
			err = fmt.Errorf("%w: at most %v are waited", busy, retry.MaxWait)
		}
		if !isBusy || waited > retry.MaxWait {
			end()
			return nil, nil, err
		}
		fmt.Fprintf(b.log, "waiting %v: the server answers %s\n", busy.wait, busy.status)
		select {
		case <-ctx.Done():
			end()
			return nil, nil, context.Cause(ctx)
		case <-time.After(busy.wait):
		}
	}
}

// busyError is an answer that asks to wait.
type busyError struct {
	status string
	wait   time.Duration
}

func (e *busyError) Error() string { return fmt.Sprintf("%s, and asks to wait %v", e.status, e.wait) }

// ask makes one request, whose answer is the file.
func ask(ctx context.Context, client *http.Client, from string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errAddTime) {
		return nil, cause
	}
	if asked, ok := errors.AsType[*url.Error](err); ok {
		return nil, asked.Err // without the address
	} else if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	if wait := retry.Asked(response); wait > 0 {
		return nil, errors.Join(&busyError{response.Status, wait}, response.Body.Close())
	}
	return nil, errors.Join(errors.New(response.Status), response.Body.Close())
}

var (
	errAddTime = fmt.Errorf("the download takes more than %v", maxAddTime)
	errAdded   = errors.New("the file is too large")
)

// bounded fails after as many bytes as ADD takes.
func (b *dockerBuild) bounded(body io.Reader) io.Reader {
	limit := cmp.Or(b.maxAdded, maxAdded)
	return &cutOff{Reader: body, left: limit, limit: limit}
}

type cutOff struct {
	io.Reader
	left, limit int64
}

// Read implements io.Reader.
func (c *cutOff) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, fmt.Errorf("%w: more than %d bytes", errAdded, c.limit)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errAddTime
	}
	return n, err
}

// public is an address without what may be secret in it.
func public(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
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
	return func() (fs.File, error) { return c.open(name) }
}
