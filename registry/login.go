package registry

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"vauban/internal/redact"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Check reaches the registry and logs in, so that a wrong address or password
// shows before a long build rather than after it.
func (r *Registry) Check(ctx context.Context) error {
	return r.do(ctx, "logging in", func(ctx context.Context) error {
		auth, err := authn.Resolve(ctx, r.keychain, r.host)
		if err != nil {
			return err
		}
		authorized, err := transport.NewWithContext(ctx, r.host, auth, r.transport, nil)
		if err != nil {
			return err
		}
		address := url.URL{Scheme: r.host.Scheme(), Host: r.host.RegistryStr(), Path: "/v2/"}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
		if err != nil {
			return err
		}
		response, err := (&http.Client{Transport: authorized}).Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		return transport.CheckError(response, http.StatusOK)
	})
}

// CheckPush finds out whether this login may push an image: an upload is begun
// and given up. Nothing is asked of the embedded registry.
func (r *Registry) CheckPush(ctx context.Context, image string) error {
	if r.embedded != nil {
		return nil
	}
	ref, err := r.reference(image, Latest)
	if err != nil {
		return err
	}
	return r.do(ctx, fmt.Sprintf("asking for the right to push %q", r.Reference(image, Latest)), func(ctx context.Context) error {
		return remote.CheckPushPermission(ref, r.keychain, withContext{ctx, r.transport})
	})
}

// withContext gives requests a context, for a function that takes none.
type withContext struct {
	ctx  context.Context
	next http.RoundTripper
}

func (t withContext) RoundTrip(request *http.Request) (*http.Response, error) {
	return t.next.RoundTrip(request.WithContext(t.ctx))
}

// Login is what another program needs to use the registry while it is open:
// for the embedded one a name and a password that end with it, else the user's.
func (r *Registry) Login(ctx context.Context) (username, password string, err error) {
	auth, err := authn.Resolve(ctx, r.keychain, r.host)
	if err != nil {
		return "", "", fmt.Errorf("finding the login of registry %q: %s", r.host, r.secrets.scrub(err.Error()))
	}
	config, err := authn.Authorization(ctx, auth)
	if err != nil {
		return "", "", fmt.Errorf("finding the login of registry %q: %s", r.host, r.secrets.scrub(err.Error()))
	}
	return config.Username, config.Password, nil
}

// newKeychain answers with the given login, or asks the Docker configuration
// when there is none. Every secret it hands out is put into secrets.
func newKeychain(username, password string, secrets *secrets) (authn.Keychain, error) {
	if (username == "") != (password == "") {
		return nil, errors.New("logging in to the registry: set both REGISTRY_USERNAME and REGISTRY_PASSWORD, or neither")
	}
	if username == "" {
		return &keychain{inner: authn.DefaultKeychain, secrets: secrets}, nil
	}
	secrets.add(username, password)
	return fixedLogin{authn.FromConfig(authn.AuthConfig{Username: username, Password: password})}, nil
}

// fixedLogin is a keychain with one login for everything.
type fixedLogin struct{ authn.Authenticator }

func (f fixedLogin) Resolve(authn.Resource) (authn.Authenticator, error) { return f.Authenticator, nil }

// keychain remembers the secrets that pass through it, to keep them out of
// errors and logs.
type keychain struct {
	inner   authn.Keychain
	secrets *secrets
}

// Resolve implements authn.Keychain.
func (k *keychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), target)
}

// ResolveContext implements authn.ContextKeychain.
func (k *keychain) ResolveContext(ctx context.Context, target authn.Resource) (authn.Authenticator, error) {
	auth, err := authn.Resolve(ctx, k.inner, target)
	if err != nil {
		return nil, fmt.Errorf("asking the Docker configuration for a login: %w", err)
	}
	config, err := authn.Authorization(ctx, auth)
	if err != nil {
		return nil, fmt.Errorf("asking the Docker configuration for a login: %w", err)
	}
	k.secrets.add(config.Username, config.Password)
	k.secrets.add(config.Username, config.IdentityToken)
	k.secrets.add(config.Username, config.RegistryToken)
	return auth, nil
}

// secrets are strings that may stand in a registry's answer, which repeats
// requests at will, but never in an error or a log of ours.
type secrets struct {
	mu    sync.Mutex
	forms []string
}

// add takes note of a secret in the forms in which it travels.
func (s *secrets) add(username, secret string) {
	if secret == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, form := range []string{
		base64.StdEncoding.EncodeToString([]byte(username + ":" + secret)),
		url.QueryEscape(secret),
		url.PathEscape(secret),
		secret,
	} {
		s.forms = append(s.forms, form, redact.Mark)
	}
}

// scrub replaces every secret in text.
func (s *secrets) scrub(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.NewReplacer(s.forms...).Replace(text)
}
