package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"vauban/internal/outward"
	"vauban/internal/pace"
	"vauban/internal/remedy"
	"vauban/internal/retry"
)

// ErrTagMoved is returned for a timestamp tag that names another image
// already. FreeTimestamp finds the next that is free.
var ErrTagMoved = errors.New("a timestamp tag never moves")

// errBadContent is content that is not what its digest says.
var errBadContent = errors.New("content does not match its digest")

// errRefused is the kind of a request that the registry finds wrong.
var errRefused = errors.New("the registry refused it")

// isRefused says whether the registry found a request wrong, rather than not
// allowed or impossible for now.
func isRefused(err error) bool { return errors.Is(err, errRefused) || errdefs.IsNotImplemented(err) }

// failure is a request that the registry did not fulfil. Its text holds no
// secret, which is why the error it was made of is not kept: only its kind is.
type failure struct {
	text string
	kind error // an errdefs kind, or of this package
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.kind }

// stopped is the error of a request that its context ended.
func (r *Registry) stopped(ctx context.Context, doing string) error {
	return fmt.Errorf("%s on registry %q: %w", doing, r.Address(), context.Cause(ctx))
}

// explain says what was tried how often on which host, why it did not work
// and what to do about it.
func (r *Registry) explain(doing string, attempts int, err error) error {
	advice, kind := r.diagnose(err)
	text := fmt.Sprintf("%s on registry %q: ", doing, r.Address())
	if attempts > 1 {
		text += fmt.Sprintf("tried %d times: ", attempts)
	}
	text += r.public(err)
	return &failure{text: remedy.Text(text, "", advice), kind: kind}
}

// maxText bounds what an error repeats of a registry's answer, in bytes.
const maxText = 2000

// public is the text of an error without secrets, without characters that a
// terminal acts on, and of a bounded length.
func (r *Registry) public(err error) string { return clean(r.secrets.scrub(err.Error())) }

// clean is text of a registry as an error may repeat it.
func clean(text string) string {
	text = strings.Map(func(c rune) rune {
		if c == '\n' || c == '\t' || strconv.IsPrint(c) {
			return c
		}
		return '?'
	}, text)
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + fmt.Sprintf(" ... (%d bytes more)", len(text)-maxText)
	}
	return text
}

// diagnose finds the kind of an error and what a user can do about it.
func (r *Registry) diagnose(err error) (advice string, kind error) {
	var (
		answer *transport.Error
		dns    *net.DNSError
		asked  *url.Error
	)
	switch {
	case retry.Distrusted(err):
		return fmt.Sprintf(
			"if the certificate is right, put its authority's into /etc/docker/certs.d/%s/ca.crt", r.host), errdefs.ErrUnavailable
	case errors.As(err, &answer):
		return r.diagnoseAnswer(answer)
	case r.isPlain(err):
		return errPlainHTTP.Error() + ": give the registry a certificate", errdefs.ErrUnavailable
	case errors.As(err, &dns) && dns.IsNotFound:
		return "check " + r.setting, errdefs.ErrUnavailable
	case errors.Is(err, errBound), errors.Is(err, outward.ErrRefused), errors.Is(err, errNotManifest):
		return "check " + r.setting, errdefs.ErrInvalidArgument
	case errors.Is(err, pace.ErrStalled):
		return "check the network to the registry, and its load", errdefs.ErrUnavailable
	case errors.Is(err, errBadContent):
		return "the registry's storage or a proxy before it is damaged", errdefs.ErrDataLoss
	case errors.As(err, &asked):
		return "check that the registry runs, is reachable from here and is the one in " + r.setting, errdefs.ErrUnavailable
	}
	return "", kindOf(err)
}

func (r *Registry) diagnoseAnswer(answer *transport.Error) (advice string, kind error) {
	switch status := answer.StatusCode; {
	case isNotFound(answer):
		return "", errdefs.ErrNotFound
	case status == http.StatusUnauthorized:
		return r.loginAdvice(), errdefs.ErrUnauthenticated
	case status == http.StatusForbidden:
		return "this login lacks permission: ask the registry's operator for it, or use another login", errdefs.ErrPermissionDenied
	case status == http.StatusMethodNotAllowed:
		return "the registry has this switched off, or is too old for it", errdefs.ErrNotImplemented
	case status == http.StatusTooManyRequests:
		return "the registry limits requests: wait, or log in", errdefs.ErrResourceExhausted
	case status == http.StatusBadRequest, status == http.StatusUnsupportedMediaType, status == http.StatusUnprocessableEntity:
		return "", errRefused
	case status >= http.StatusInternalServerError:
		return "the registry itself is in trouble: see its log", errdefs.ErrUnavailable
	}
	return "", nil
}

// loginAdvice tells where a login comes from.
func (r *Registry) loginAdvice() string {
	if r.setting == "REGISTRY_HOSTNAME" {
		return fmt.Sprintf("set REGISTRY_USERNAME and REGISTRY_PASSWORD, or run docker login %s", r.host)
	}
	return fmt.Sprintf("check %s, and if it is right, run docker login %s", r.setting, r.host)
}

// kindOf keeps of an error what callers branch on.
func kindOf(err error) error {
	for _, kind := range []error{ErrTagMoved, errdefs.ErrNotFound, errdefs.ErrInvalidArgument} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return nil
}
