package identities

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"vauban/config"
	"vauban/internal/text"
	"vauban/pipeline/freshness"
	"vauban/release"
	"vauban/vault"
)

// derivedMachineID is that of a host without an identity of a vault.
func derivedMachineID(host string) string {
	sum := sha256.Sum256([]byte("vauban machine-id\n" + host))
	return fmt.Sprintf("%x", sum[:16])
}

// deployed is what a release gives a host, and whether that is from a vault.
func deployed(ctx context.Context, p *release.Published, host string) (id vault.Identity, fromVault bool, err error) {
	entry, ok := p.Hosts[host]
	if !ok {
		return vault.Identity{}, false, nil
	}
	files, err := p.ConffsFiles(ctx, host, vault.FilePaths()...)
	if err != nil {
		return vault.Identity{}, false, err
	}
	id = vault.FromFiles(files)
	switch entry.Identity {
	case release.FromVault:
		return id, true, nil
	case "":
		if id.MachineID() != "" && id.MachineID() != derivedMachineID(host) {
			return id, true, nil
		}
	}
	// Keys in it are those of a playbook, which goes on putting them there.
	return vault.FromFiles(map[string][]byte{"etc/machine-id": files["etc/machine-id"]}), false, nil
}

// adopt gives vault.EnsureFrom what a host is known by already, when the vault
// has nothing of it. Where the vault has other hosts and this one's identity was
// from a vault, it was removed to be made again.
func (i *Identities) adopt(p *release.Published, host string) func(context.Context) (vault.Identity, error) {
	if p == nil {
		return nil
	}
	return func(ctx context.Context) (vault.Identity, error) {
		id, fromVault, err := deployed(ctx, p, host)
		if errors.Is(err, release.ErrDamaged) {
			i.notice(host, fmt.Sprintf("the identity that %s has now cannot be read, and a new one is made: %v", host, err))
			return vault.Identity{}, nil
		} else if err != nil || !fromVault {
			return id, err
		}
		empty, err := i.isNew(ctx)
		if err != nil || empty {
			return id, err
		}
		i.notice(host, fmt.Sprintf("the vault no longer has the identity that %s has now: a new one is made", host))
		return vault.Identity{}, nil
	}
}

// isNew reports whether the vault was empty before this run put something into it.
func (i *Identities) isNew(ctx context.Context) (bool, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.wasEmpty == nil {
		hosts, err := i.store.List(ctx)
		if err != nil {
			return false, err
		}
		empty := len(hosts) == 0
		i.wasEmpty = &empty
	}
	return *i.wasEmpty, nil
}

// Check refuses hosts of a master, or the master itself where it has no hosts,
// that would lose their identity in a run without a vault: the vault that is not
// open or the current release has one of them. Records may be nil.
func (i *Identities) Check(ctx context.Context, uploadDir string, records *freshness.Records, m *config.Master, hosts []string) error {
	if i.kept == nil || len(hosts) == 0 {
		return nil
	}
	kept, err := i.kept(ctx)
	if err != nil {
		return err
	}
	var inVault []string
	for _, host := range hosts {
		if slices.Contains(kept, host) {
			inVault = append(inVault, host)
		}
	}
	const otherwise = "or build with --no-identities, which gives hosts no SSH keys and another machine-id"
	if len(inVault) > 0 {
		return fmt.Errorf("master %q: the vault next to config.yml has the SSH keys and the machine-id of %s, and VAULTED_SSHD_KEYS_KEY is not set: "+
			"set it to the vault's passphrase, %s", m.Name, text.Few(inVault), otherwise)
	}
	current, err := release.Current(uploadDir, m.Name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, release.ErrDamaged) {
		return nil // nothing is known
	} else if err != nil {
		return err
	}
	served, err := fromVault(ctx, records, m, current, hosts)
	if err != nil || len(served) == 0 {
		return err
	}
	return fmt.Errorf("master %q: release %s gives %s SSH keys and a machine-id of a vault, and no vault is set up: "+
		"set VAULTED_SSHD_KEYS_KEY, or VAULT_ENGINE=vault with VAULT_ADDR, %s", m.Name, current.Timestamp, text.Few(served), otherwise)
}

// fromVault are those of the hosts that a release gives an identity of a vault.
func fromVault(ctx context.Context, records *freshness.Records, m *config.Master, current *release.Published, hosts []string) (served []string, err error) {
	for _, host := range hosts {
		entry := current.Hosts[host]
		given := entry.Identity == release.FromVault
		switch {
		case host == m.OwnIdentity():
			given, err = ownFromVault(ctx, records, m, current)
		case entry.Identity == "":
			_, given, err = deployed(ctx, current, host)
		}
		if err != nil && !errors.Is(err, release.ErrDamaged) {
			return nil, err
		}
		if given {
			served = append(served, host)
		}
	}
	return served, nil
}

// ownFromVault reports whether a master's root filesystem has an identity. Of a
// release from before that was noted in it, the record of its build says so.
func ownFromVault(ctx context.Context, records *freshness.Records, m *config.Master, current *release.Published) (bool, error) {
	if current.Rootfs.Identity != "" || records == nil {
		return current.Rootfs.Identity == release.FromVault, nil
	}
	record, _, err := records.Get(ctx, m.Image())
	if err != nil || record == nil || record.Release == nil {
		return false, err
	}
	return record.Release.RootfsInputs[freshness.VaultInput] != "", nil
}
