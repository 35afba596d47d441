package layers

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"vauban/internal/beneath"
	"vauban/internal/owned"
)

// AptOptions say how apt gets its packages in the containers of an [Engine].
// None of it is in any layer.
type AptOptions struct {
	// Proxy is the URL of an http proxy. One on the builder's loopback is
	// reached from private networks too.
	Proxy string
	// AuthFile holds what private repositories ask for, as apt_auth.conf(5)
	// has it.
	AuthFile string
	// Pool keeps packages and lists for later containers, also of other
	// state directories. Empty: a folder of the state directory.
	Pool string
	// Keyrings are files of the keys that are trusted to sign package lists,
	// besides those of Debian and Ubuntu on the builder.
	Keyrings []string
	// PoolSize bounds the packages kept, in bytes. 0: 4 GiB.
	PoolSize int64
}

// Where a container finds what is lent to its apt. The names come last of
// their folders, so that they win.
const (
	aptConfPath  = "/etc/apt/apt.conf.d/zz-vauban"
	aptAuthPath  = "/etc/apt/auth.conf.d/zz-vauban.conf"
	aptAuthAside = "/run/vauban/apt-auth.conf"
)

// checkPool makes the folder of packages, before a stage has run for nothing.
func (o AptOptions) checkPool(above []int) error {
	if o.Pool == "" {
		return nil
	}
	err := owned.Make(o.Pool, above...)
	if err == nil {
		err = unix.Access(o.Pool, unix.W_OK)
	}
	if err == nil && strings.ContainsAny(o.Pool, `:,\`) {
		err = errors.New(`mount options cannot hold a ":", "," or "\": choose another name`)
	}
	if err != nil {
		return fmt.Errorf("keeping packages (DEBIAN_CACHE_PATH): %w", err)
	}
	return nil
}

// checkAuthFile sees to it that containers can be lent the file.
func (o AptOptions) checkAuthFile() error {
	if o.AuthFile == "" {
		return nil
	}
	info, err := os.Stat(o.AuthFile)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%q is not a file", o.AuthFile)
	}
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("others may read %q: chmod 600 it", o.AuthFile)
	}
	if err != nil {
		return fmt.Errorf("lending apt its credentials (APT_AUTH_FILE): %w", err)
	}
	return nil
}

// mounts bring the credentials to where [Container.lendApt] finds them.
func (o AptOptions) mounts() []specs.Mount {
	if o.AuthFile == "" {
		return nil
	}
	return []specs.Mount{bindMount(o.AuthFile, aptAuthAside, "ro", "nosuid", "nodev", "noexec")}
}

// loopbackOf is the address of a proxy that is on the builder's own loopback,
// "" for another.
func loopbackOf(proxy string) string {
	u, err := url.Parse(proxy)
	if err != nil {
		return ""
	}
	host, port := u.Hostname(), u.Port()
	if ip := net.ParseIP(host); host != "localhost" && !strings.HasSuffix(host, ".localhost") && (ip == nil || !ip.IsLoopback()) {
		return ""
	}
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(host, port)
}

// proxy is its URL as the container reaches it.
func (c *Container) proxy() string {
	if c.net.proxy == nil {
		return c.engine.apt.Proxy
	}
	u, err := url.Parse(c.engine.apt.Proxy)
	if err != nil {
		return c.engine.apt.Proxy
	}
	u.Host = c.net.proxy.address()
	return u.String()
}

// forwardProxy makes a proxy on the builder's loopback, and nothing else
// there, reachable in the container's own network.
func (c *Container) forwardProxy() (err error) {
	address := loopbackOf(c.engine.apt.Proxy)
	if address == "" || c.options.HostNetwork {
		return nil
	}
	if c.net.proxy, err = startLoopbackProxy(int(c.init.Fd()), address); err != nil {
		return fmt.Errorf("lending apt its proxy: %w", err)
	}
	return nil
}

// lendApt writes apt's proxy, as a plain file that stages may remove, and
// mounts its credentials. It runs inside the container.
func (c *Container) lendApt() error {
	apt := c.engine.apt
	if _, err := beneath.Stat("/", "/usr/bin/apt-get"); err != nil {
		return nil
	}
	if apt.Proxy != "" {
		// Those of https are these where it has none of its own.
		line := fmt.Sprintf("Acquire::http::Proxy \"%s\";\n", c.proxy())
		if err := c.lendOurs(aptConfPath, []byte(line)); err != nil {
			return err
		}
	}
	if apt.AuthFile == "" {
		return nil
	}
	if err := c.lendOurs(aptAuthPath, nil); err != nil {
		return err
	}
	if err := unix.Mount(aptAuthAside, aptAuthPath, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting apt's credentials: %w", err)
	}
	return nil
}

// lendOurs lends a file that never ships, whatever a step does to it.
func (c *Container) lendOurs(path string, content []byte) error {
	if err := keepingDate(filepath.Dir(path), func() error { return c.lendOne(path, content, 0o644) }); err != nil {
		return err
	}
	c.lent[len(c.lent)-1].ours = true
	return nil
}

// checkProxy refuses what would end up in a configuration file as something
// else than an address.
func (o AptOptions) checkProxy() error {
	u, err := url.Parse(o.Proxy)
	switch {
	case o.Proxy == "":
		return nil
	case err != nil || u.Host == "" || strings.ContainsAny(o.Proxy, "\"\n\r;\\"):
		return errors.New("apt's proxy (DEBIAN_APT_GET_PROXY) is no URL of a proxy")
	case u.User != nil:
		return errors.New("apt's proxy (DEBIAN_APT_GET_PROXY) holds a password: put it in APT_AUTH_FILE, as a line `machine http://PROXY login USER password WORD`")
	}
	return nil
}
