package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// A Destination is an address of the builder that containers may reach.
type Destination struct {
	Host string // an IPv4 address, a prefix of them, or a name
	Port uint16 // of TCP and UDP; 0 is every port
}

// Destinations are those that the file permits: `network_allow:`, and the
// servers that it and the settings name, which are reached even where they are
// the builder: apt's mirrors and proxy, and the repository of the playbooks.
func (c *Config) Destinations(s Settings) []Destination {
	var all []Destination
	named := []string{s.DebianAptGetProxy, s.AnsibleRepo}
	if c != nil {
		all = append(all, c.Configuration.NetworkAllow...)
		for _, b := range c.Bases {
			named = append(named, b.Mirror)
		}
	}
	for _, address := range named {
		if d, ok := serverOf(address); ok {
			all = append(all, d)
		}
	}
	return all
}

// serverOf is the server of a URL, or of a repository as git writes it,
// user@host:path.
func serverOf(address string) (Destination, bool) {
	if !strings.Contains(address, "://") {
		if isLocalRepository(address) {
			return Destination{}, false
		}
		host, _, _ := strings.Cut(address, ":")
		_, after, found := strings.Cut(host, "@")
		if found {
			host = after
		}
		return Destination{host, 22}, host != ""
	}
	u, err := url.Parse(address)
	if err != nil {
		return Destination{}, false
	}
	port := map[string]uint16{"http": 80, "https": 443, "ssh": 22, "git": 9418, "ftp": 21}[u.Scheme]
	if u.Port() != "" {
		n, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil {
			return Destination{}, false
		}
		port = uint16(n)
	}
	return Destination{u.Hostname(), port}, u.Hostname() != "" && port != 0
}

// neverAllowed are the ranges that a container never reaches.
var neverAllowed = map[string]string{
	"127.0.0.0/8":    "the builder's loopback is never reached: only an apt proxy there is, which apt_proxy names",
	"0.0.0.0/8":      "Linux takes these for the builder's loopback",
	"169.254.0.0/16": "link-local addresses, with the metadata of clouds, are never reached",
	"10.0.2.0/24":    "this is the network of the containers themselves",
	"224.0.0.0/4":    "multicast never leaves a container",
	"240.0.0.0/4":    "these addresses are reserved",
}

// parseDestination reads HOST|CIDR[:PORT].
func parseDestination(text string) (Destination, error) {
	if strings.Contains(text, "://") {
		return Destination{}, Mistake{What: "this is a URL", Why: "an item of network_allow is HOST or CIDR, with :PORT for a single port", Do: "write the server's name and port alone"}
	}
	d := Destination{Host: text}
	if host, port, found := strings.Cut(text, ":"); found && !strings.Contains(port, ":") {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return d, Mistake{What: fmt.Sprintf("%q has the port %q", text, port), Why: "a port is a number from 1 to 65535", Do: "correct it, or leave it out for every port"}
		}
		d = Destination{host, uint16(n)}
	}
	return d, d.check(text)
}

func (d Destination) check(text string) error {
	prefix, err := netip.ParsePrefix(d.Host)
	if err != nil {
		if a, err := netip.ParseAddr(d.Host); err == nil {
			prefix = netip.PrefixFrom(a, a.BitLen())
		}
	}
	switch {
	case !prefix.IsValid():
		if !regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`).MatchString(d.Host) || !regexp.MustCompile(`[A-Za-z]`).MatchString(d.Host) {
			return Mistake{What: fmt.Sprintf("%q is not an address", text), Why: "it must be HOST or CIDR, with :PORT for a single port",
				Do: "write for example 192.0.2.10:5432, 192.0.2.0/28 or db.example.com"}
		}
		if d.Host == "localhost" || strings.HasSuffix(d.Host, ".localhost") {
			return Mistake{What: fmt.Sprintf("%q cannot be allowed", text), Why: neverAllowed["127.0.0.0/8"], Do: "remove it"}
		}
		return nil
	case !prefix.Addr().Is4():
		return Mistake{What: fmt.Sprintf("%q is an IPv6 address", text), Why: "containers have IPv4 only", Do: "write the IPv4 address"}
	}
	for never, why := range neverAllowed {
		if p := netip.MustParsePrefix(never); p.Contains(prefix.Addr()) && p.Bits() <= prefix.Bits() {
			return Mistake{What: fmt.Sprintf("%q cannot be allowed", text), Why: why, Do: "remove it"}
		}
	}
	return nil
}

// String is the destination as it is written.
func (d Destination) String() string {
	if d.Port == 0 {
		return d.Host
	}
	return net.JoinHostPort(d.Host, strconv.Itoa(int(d.Port)))
}

// destinationsInto reads a list of destinations.
func (r *reader) destinationsInto(dst *[]Destination) field {
	return func(key, value *yaml.Node) {
		for _, item := range r.items(key, value) {
			if d, ok := parsed(r, "an item of "+labelOf(key), item, parseDestination); ok {
				*dst = append(*dst, d)
			}
		}
	}
}
