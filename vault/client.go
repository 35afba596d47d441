package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"vauban/internal/redact"
	"vauban/internal/retry"
)

// KVOptions say where the server is and who we are. A token wins over an
// AppRole; one of the two is needed.
type KVOptions struct {
	// Address is the server's URL, as VAULT_ADDR.
	Address string
	// Path is "<mount>/" or "<mount>/<folder>/". Empty is [DefaultKVPath].
	Path  string
	Token string `json:"-"`
	// RoleID and SecretID log in to the AppRole method at auth/approle.
	RoleID   string
	SecretID string `json:"-"`
	// Attempts is how often a request that fails for a transient reason is made.
	// Zero is 5.
	Attempts int
	// Backoff is the time before the second attempt; it doubles each time.
	// Zero is 200 ms.
	Backoff time.Duration
	// Transport makes the requests. Nil is [http.DefaultTransport].
	Transport http.RoundTripper `json:"-"`
}

// Format prints the options without secrets, whatever the verb.
func (o KVOptions) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "%s, path %q", o.Address, o.Path)
}

// LogValue keeps the secrets out of structured logs.
func (o KVOptions) LogValue() slog.Value {
	return slog.GroupValue(slog.String("address", o.Address), slog.String("path", o.Path))
}

const (
	requestTimeout = 30 * time.Second
	maxAnswer      = 1 << 20 // bytes
)

// client speaks the HTTP API that Vault and OpenBao share.
// Source: https://openbao.org/api-docs/
type client struct {
	http     *http.Client
	address  string // without "/" at its end
	roleID   string
	secretID redact.Secret
	attempts int
	backoff  time.Duration

	login sync.Mutex // held while token is read, or renewed
	token redact.Secret
}

func newClient(o KVOptions) (*client, error) {
	address, err := url.Parse(strings.TrimRight(o.Address, "/"))
	if err != nil || address.Host == "" || (address.Scheme != "http" && address.Scheme != "https") || address.User != nil {
		return nil, errors.New("VAULT_ADDR is not the URL of a server: set it to one as https://vault.example.com:8200, without a user or password")
	}
	if o.Token == "" && (o.RoleID == "" || o.SecretID == "") {
		return nil, errors.New("no login for the server of VAULT_ADDR is configured: set VAULT_TOKEN, or VAULT_ROLE_ID and VAULT_SECRET_ID")
	}
	c := &client{
		http:     &http.Client{Transport: o.Transport, CheckRedirect: checkRedirect, Timeout: requestTimeout},
		address:  address.String(),
		attempts: o.Attempts, backoff: o.Backoff,
		token: redact.NewSecret(o.Token),
	}
	if o.Token == "" {
		c.roleID, c.secretID = o.RoleID, redact.NewSecret(o.SecretID)
	}
	if c.attempts == 0 {
		c.attempts = 5
	}
	if c.backoff == 0 {
		c.backoff = 200 * time.Millisecond
	}
	return c, nil
}

// checkRedirect follows a standby's redirect to the active server, but not out
// of TLS: the token goes with it.
func checkRedirect(next *http.Request, via []*http.Request) error {
	if len(via) > 3 {
		return fmt.Errorf("%w too often", errRedirect)
	}
	if via[0].URL.Scheme == "https" && next.URL.Scheme != "https" {
		return fmt.Errorf("%w from https to http", errRedirect)
	}
	return nil
}

var errRedirect = errors.New("the server redirects")

// answer is what the server said. Its status is 200, 204 or 404; a 404 without
// data means that there is nothing under the path.
type answer struct {
	status int
	Data   json.RawMessage
	Auth   struct {
		ClientToken string `json:"client_token"`
	}
	Errors []string
}

// call makes a request, again when it fails for a transient reason, and once more
// after a new login when an AppRole's token ran out.
func (c *client) call(ctx context.Context, method, path string, body any) (answer, error) {
	token, err := c.authenticate(ctx, "")
	if err != nil {
		return answer{}, err
	}
	a, err := c.retry(ctx, method, path, token, body)
	var refused *refusal
	if errors.As(err, &refused) && refused.status == http.StatusForbidden && c.roleID != "" {
		if token, err = c.authenticate(ctx, token); err != nil {
			return answer{}, err
		}
		a, err = c.retry(ctx, method, path, token, body)
	}
	return a, err
}

// authenticate returns a token other than the one that was refused.
func (c *client) authenticate(ctx context.Context, refused string) (string, error) {
	c.login.Lock()
	defer c.login.Unlock()
	if token := c.token.Reveal(); token != refused {
		return token, nil
	}
	body := map[string]string{"role_id": c.roleID, "secret_id": c.secretID.Reveal()}
	a, err := c.retry(ctx, http.MethodPost, "auth/approle/login", "", body)
	if err == nil && a.Auth.ClientToken == "" {
		err = errors.New("the server gave no token")
	}
	if err != nil {
		return "", fmt.Errorf("logging in with VAULT_ROLE_ID: %w", err)
	}
	c.token = redact.NewSecret(a.Auth.ClientToken)
	return a.Auth.ClientToken, nil
}

func (c *client) retry(ctx context.Context, method, path, token string, body any) (answer, error) {
	waits := retry.Waits{First: c.backoff}
	for attempt := 1; ; attempt++ {
		a, err := c.once(ctx, method, path, token, body)
		asked := time.Duration(0)
		if refused, ok := errors.AsType[*refusal](err); ok && refused.wait > 0 {
			attempt-- // it says when to come back
			asked = refused.wait
		}
		if err == nil || !isTransient(err) || attempt >= c.attempts || ctx.Err() != nil {
			return a, err
		}
		wait, tooLong := waits.Next(asked)
		if tooLong != nil {
			return a, fmt.Errorf("%w: %w", err, tooLong)
		}
		if err := retry.Sleep(ctx, wait); err != nil {
			return answer{}, err
		}
	}
}

// isTransient reports whether a request may succeed when it is repeated.
func isTransient(err error) bool {
	if refused, ok := errors.AsType[*refusal](err); ok {
		return retry.Status(refused.status)
	}
	return retry.Network(err) && !errors.Is(err, ErrConflict) && !errors.Is(err, errRedirect)
}

func (c *client) once(ctx context.Context, method, path, token string, body any) (answer, error) {
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return answer{}, errors.New("encoding a request") // its error could show the request
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, c.address+"/v1/"+path, bytes.NewReader(payload))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("X-Vault-Request", "true")
	if token != "" {
		request.Header.Set("X-Vault-Token", token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return answer{}, fmt.Errorf("reading the answer to %s %q: %w", method, path, err)
	}
	a, err := parseAnswer(response.StatusCode, text, path)
	var refused *refusal
	if errors.As(err, &refused) {
		refused.wait = retry.Asked(response)
		refused.words = redact.Text(refused.words, token, c.secretID.Reveal())
	}
	return a, err
}

func parseAnswer(status int, text []byte, path string) (answer, error) {
	a := answer{status: status}
	err := json.Unmarshal(text, &a)
	switch {
	case status == http.StatusNoContent:
		return a, nil
	case err == nil && (status == http.StatusOK || status == http.StatusNotFound && len(a.Errors) == 0):
		return a, nil
	case status == http.StatusBadRequest && strings.Contains(strings.Join(a.Errors, " "), "check-and-set parameter did not match"):
		return a, ErrConflict
	}
	return a, &refusal{status: status, path: path, words: strings.Join(a.Errors, "; ")}
}

// refusal is an answer other than what was asked for.
type refusal struct {
	status      int
	path, words string
	wait        time.Duration // that it asks for
}

// Error tells what to do about the frequent ones.
func (r *refusal) Error() string {
	text := fmt.Sprintf("%q: the server answered %d %s", r.path, r.status, http.StatusText(r.status))
	if words := strings.Join(strings.Fields(r.words), " "); words != "" {
		text += ": " + words
	}
	switch r.status {
	case http.StatusForbidden:
		text += ": the token or role needs a policy that allows create, read, update and list here"
	case http.StatusNotFound:
		text += ": VAULT_PATH must begin with the mount of a KV engine of version 2"
	case http.StatusServiceUnavailable:
		text += ": it may be sealed"
	}
	return text
}
