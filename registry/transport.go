package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vauban/internal/outward"
)

const userAgent = "vauban"

// defaultPatience is how long nothing may move on a connection. A registry
// digests a layer of gigabytes before it answers.
const defaultPatience = 5 * time.Minute

// maxHeaders bounds the headers of one answer, in bytes.
const maxHeaders = 256 << 10

// newTransport trusts the system's authorities and those that the certificate
// folders hold for host[:port].
func newTransport(host string, certDirs []string) (*http.Transport, error) {
	config, err := loadCerts(host, certDirs)
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, ControlContext: outward.Control}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: maxHeaders,
	}, nil
}

// loadCerts reads the layout that Docker made common: DIR/HOST[:PORT]/ with
// authorities in *.crt, and client certificates in *.cert with their *.key.
// Reference: https://docs.docker.com/engine/security/certificates/
func loadCerts(host string, dirs []string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	for _, dir := range dirs {
		dir = filepath.Join(dir, host)
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the certificates of registry %q: %w", host, err)
		}
		for _, entry := range entries {
			if err := loadCert(config, filepath.Join(dir, entry.Name())); err != nil {
				return nil, fmt.Errorf("reading the certificates of registry %q: %w", host, err)
			}
		}
	}
	return config, nil
}

func loadCert(config *tls.Config, file string) error {
	switch filepath.Ext(file) {
	case ".crt":
		pem, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if config.RootCAs == nil {
			if config.RootCAs, err = x509.SystemCertPool(); err != nil {
				return err
			}
		}
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%q holds no PEM certificate", file)
		}
	case ".cert":
		pair, err := tls.LoadX509KeyPair(file, strings.TrimSuffix(file, ".cert")+".key")
		if err != nil {
			return fmt.Errorf("loading client certificate %q and its .key: %w", file, err)
		}
		config.Certificates = append(config.Certificates, pair)
	}
	return nil
}

// errPlainHTTP is what keeps passwords and images off the network unprotected.
var errPlainHTTP = errors.New("plain HTTP is spoken on the loopback address only")

// loopbackHTTP refuses plain HTTP to other machines. The client library would
// speak it to private addresses, and follow a redirection or a token server to it.
type loopbackHTTP struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t loopbackHTTP) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme == "http" && !outward.IsLoopback(request.URL.Host) {
		if request.Body != nil {
			request.Body.Close()
		}
		return nil, errPlainHTTP
	}
	return t.RoundTripper.RoundTrip(request)
}
