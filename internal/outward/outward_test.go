package outward

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A redirect to this machine, by name or address, is refused before anything is
// sent; the same from this machine is not.
func TestTransport(t *testing.T) {
	reached := 0
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }))
	defer inner.Close()
	_, port, err := net.SplitHostPort(inner.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
	}))
	defer outer.Close()
	base := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "elsewhere.example:") {
			return (&net.Dialer{}).DialContext(ctx, network, outer.Listener.Addr().String())
		}
		return (&net.Dialer{ControlContext: Control}).DialContext(ctx, network, address)
	}}
	defer base.CloseIdleConnections()
	client := &http.Client{Transport: &Transport{Base: base}}
	for name, test := range map[string]struct {
		from, to string
		refused  bool
	}{
		"an address":          {"http://elsewhere.example", "http://127.0.0.1:" + port, true},
		"a name":              {"http://elsewhere.example", "http://localhost:" + port, true},
		"all addresses":       {"http://elsewhere.example", "http://0.0.0.0:" + port, true},
		"IPv6 in disguise":    {"http://elsewhere.example", "http://[::ffff:127.0.0.1]:" + port, true},
		"a metadata service":  {"http://elsewhere.example", "http://169.254.169.254/latest", true},
		"from here":           {outer.URL, "http://localhost:" + port, false},
		"to another port":     {outer.URL, inner.URL, false},
		"directly, as wanted": {inner.URL, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			reached = 0
			base.CloseIdleConnections()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, test.from+"/?to="+test.to, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := client.Do(request)
			if err == nil {
				response.Body.Close()
			}
			if errors.Is(err, ErrRefused) != test.refused || !test.refused && (err != nil || reached != 1) || test.refused && reached != 0 {
				t.Errorf("error %v, %d requests reached it", err, reached)
			}
		})
	}
}

func TestRedirects(t *testing.T) {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
	}))
	defer server.Close()
	client := &http.Client{Transport: &Transport{Base: http.DefaultTransport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err == nil {
		response.Body.Close()
	}
	if !errors.Is(err, ErrRefused) || requests != MaxRedirects+1 {
		t.Errorf("error %v after %d requests", err, requests)
	}
}
