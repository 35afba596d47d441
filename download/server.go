package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"vauban/internal/outward"
	"vauban/internal/pace"
	"vauban/internal/retry"
)

// server is where one file is. Nothing that it returns or prints has more of
// the address than scheme, host and path.
type server struct {
	address *url.URL // without the login
	login   *url.Userinfo
	client  *http.Client
}

func newServer(address string, patience time.Duration) (*server, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("reading the address of a download: it is not an http or https URL") // and may be secret
	}
	s := &server{address: u, login: u.User}
	u.User = nil
	transport := http.DefaultTransport.(*http.Transport).Clone()
	// A .gz that is sent as if it were compressed on its way must stay one.
	transport.DisableCompression = true
	transport.DialContext = (&net.Dialer{Timeout: 30 * time.Second, ControlContext: outward.Control}).DialContext
	transport.MaxResponseHeaderBytes = 256 << 10
	s.client = &http.Client{CheckRedirect: redirect,
		Transport: &outward.Transport{Base: &pace.Transport{Base: transport, Window: patience}}}
	return s, nil
}

// redirect keeps what is secret in an address from the server that it leads to.
func redirect(request *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errRedirects
	}
	if request.URL.Scheme != "http" && request.URL.Scheme != "https" {
		return outward.ErrRefused
	}
	request.Header.Del("Referer")
	if via[0].URL.Scheme == "https" && request.URL.Scheme == "http" {
		request.Header.Del("Authorization")
	}
	return nil
}

var errRedirects = errors.New("it redirects in circles")

func (s *server) String() string {
	return (&url.URL{Scheme: s.address.Scheme, Host: s.address.Host, Path: s.address.Path}).String()
}

func (s *server) close() { s.client.CloseIdleConnections() }

// get asks for what comes after the first have bytes, and tells where the
// answer begins and how large the whole file is, -1 when that is not known.
func (s *server) get(ctx context.Context, have int64) (body io.ReadCloser, from, size int64, err error) {
	response, err := s.ask(ctx, have)
	if err != nil {
		return nil, 0, 0, err
	}
	part := fmt.Sprintf("bytes %d-", have)
	switch code := response.StatusCode; {
	case code == http.StatusOK:
	case have > 0 && code == http.StatusPartialContent && strings.HasPrefix(response.Header.Get("Content-Range"), part):
		from = have
	case have > 0 && code == http.StatusRequestedRangeNotSatisfiable:
		response.Body.Close()
		return http.NoBody, have, have, nil // all is there, or its digest tells
	case have > 0 && code == http.StatusPartialContent:
		response.Body.Close()
		return s.get(ctx, 0) // of another place
	default:
		response.Body.Close()
		return nil, 0, 0, &statusError{code, response.Request.URL.Host, retry.Asked(response)}
	}
	size = -1
	if response.ContentLength >= 0 {
		size = from + response.ContentLength
	}
	return response.Body, from, size, nil
}

// ask makes one request.
func (s *server) ask(ctx context.Context, have int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.address.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "vauban")
	if have > 0 {
		request.Header.Set("Range", "bytes="+strconv.FormatInt(have, 10)+"-")
	}
	if s.login != nil {
		password, _ := s.login.Password()
		request.SetBasicAuth(s.login.Username(), password)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, cause(err)
	}
	return response, nil
}

// cause is why a request failed, without the address that net/http puts before
// it.
func cause(err error) error {
	if asked, ok := errors.AsType[*url.Error](err); ok {
		return asked.Err
	}
	return err
}

// statusError is an answer that is not a file.
type statusError struct {
	code int
	host string        // that gave it: another one after a redirection
	wait time.Duration // that it asks for
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("%s says %d %s", e.host, e.code, http.StatusText(e.code))
	switch e.code {
	case http.StatusUnauthorized, http.StatusForbidden:
		text += ": check the URL's user and password"
	case http.StatusNotFound, http.StatusGone:
		text += ": check the URL"
	}
	return text
}
