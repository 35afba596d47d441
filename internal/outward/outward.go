// Package outward keeps requests that a server elsewhere sends on from reaching
// this machine and its link: services on the loopback address, and the metadata
// services of clouds.
package outward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
)

// MaxRedirects is how often one request may be sent elsewhere.
const MaxRedirects = 10

// ErrRefused is the kind of error of a request that is not sent on.
var ErrRefused = errors.New("the server leads to a place that is not followed")

// Transport makes requests, and those that they are redirected to. Its Base must
// connect with [Control], and serve one Home: a connection that is kept is not
// checked again.
type Transport struct {
	Base http.RoundTripper
	// Home is the host[:port] that was asked for by the user. Empty is that of
	// the first request of each chain of redirects.
	Home string
}

var _ http.RoundTripper = (*Transport)(nil)

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if err := t.check(request); err != nil {
		if request.Body != nil {
			request.Body.Close()
		}
		return nil, err
	}
	home := t.Home
	if home == "" {
		home = First(request).URL.Host
	}
	if request.URL.Host != home && !IsLoopback(home) && !isProxied(request) {
		request = request.WithContext(context.WithValue(request.Context(), marked{}, request.URL.Host))
	}
	return t.Base.RoundTrip(request)
}

func (t *Transport) check(request *http.Request) error {
	redirects := 0
	for r := request; r.Response != nil && r.Response.Request != nil; r = r.Response.Request {
		if redirects++; redirects > MaxRedirects {
			return fmt.Errorf("%w: more than %d redirects", ErrRefused, MaxRedirects)
		}
	}
	isForm := strings.HasPrefix(request.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
	if isForm && First(request).URL.Host != request.URL.Host {
		return fmt.Errorf("%w: a login is not sent on to %q", ErrRefused, request.URL.Host)
	}
	return nil
}

// First is the request that a redirected one began as.
func First(request *http.Request) *http.Request {
	for range MaxRedirects {
		if request.Response == nil || request.Response.Request == nil {
			break
		}
		request = request.Response.Request
	}
	return request
}

func isProxied(request *http.Request) bool {
	proxy, err := http.ProxyFromEnvironment(request)
	return err == nil && proxy != nil
}

// marked is the key of the host of a request that must not end here.
type marked struct{}

// Control refuses addresses of this machine and its link to a request that
// [Transport] marked. It is a net.Dialer's ControlContext.
func Control(ctx context.Context, _, address string, _ syscall.RawConn) error {
	host, ok := ctx.Value(marked{}).(string)
	if !ok {
		return nil
	}
	literal, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	ip, err := netip.ParseAddr(literal)
	if err != nil {
		return err
	}
	if ip = ip.Unmap(); ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() {
		return fmt.Errorf("%w: %q is %s", ErrRefused, host, ip)
	}
	return nil
}

// IsLoopback says whether host[:port] can only be this machine.
func IsLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
