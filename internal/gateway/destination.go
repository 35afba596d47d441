package gateway

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// lookupTimeout bounds how long one name is looked up.
const lookupTimeout = 5 * time.Second

// A Destination is what a [Rule] is made from.
type Destination struct {
	// Host is an address, a prefix or a name.
	Host string
	// Port is that of TCP and UDP. 0: all.
	Port uint16
}

// Resolve makes rules, looking names up here. A name that is not found permits
// nothing.
func Resolve(ctx context.Context, all []Destination) (rules []Rule, failed []error) {
	var mu sync.Mutex
	var lookups sync.WaitGroup
	for _, d := range all {
		lookups.Go(func() {
			found, err := d.resolve(ctx)
			mu.Lock()
			defer mu.Unlock()
			rules = append(rules, found...)
			if err != nil {
				failed = append(failed, err)
			}
		})
	}
	lookups.Wait()
	return rules, failed
}

func (d Destination) resolve(ctx context.Context) ([]Rule, error) {
	if p, err := netip.ParsePrefix(d.Host); err == nil {
		return []Rule{{p.Masked(), d.Port}}, nil
	}
	if a, err := netip.ParseAddr(d.Host); err == nil {
		return []Rule{ruleOf(a, d.Port)}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", d.Host)
	if err != nil {
		return nil, fmt.Errorf("looking up %q, which containers may reach: %w", d.Host, err)
	}
	var rules []Rule
	for _, a := range found {
		rules = append(rules, ruleOf(a, d.Port))
	}
	return rules, nil
}

func ruleOf(a netip.Addr, port uint16) Rule {
	a = a.Unmap()
	return Rule{netip.PrefixFrom(a, a.BitLen()), port}
}
