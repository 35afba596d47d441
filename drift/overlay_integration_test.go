//go:build integration

package drift

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"vauban/internal/beneath"
	"vauban/vault"
)

// machine is an overlay as a booted machine's root, changed in all ways.
type machine struct{ lower, upper string }

func newMachine(t *testing.T) machine {
	t.Helper()
	dir := t.TempDir()
	m := machine{filepath.Join(dir, "image"), filepath.Join(dir, "rw")}
	root, work := filepath.Join(dir, "root"), filepath.Join(dir, "work")
	for _, d := range []string{m.lower, m.upper, root, work} {
		must(t, os.Mkdir(d, 0o755))
	}
	shell(t, m.lower, `mkdir -p etc/ssh srv/opaque var/log; echo old >etc/motd; echo m >etc/mode; echo x >etc/gone; echo o >etc/owner
		echo touched >etc/touched; echo in >srv/opaque/in; echo a >etc/attr; ln -s motd etc/link; echo d >etc/todir; head -c 3000000 /dev/zero >srv/big
		mkdir -p srv/data/deep/in srv/tree; echo k >srv/data/kept; echo k >srv/data/deep/in/kept; echo t >srv/tree/t`)
	must(t, unix.Mount("overlay", root, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,redirect_dir=on,metacopy=off", m.lower, m.upper, work)))
	t.Cleanup(func() { unix.Unmount(root, unix.MNT_DETACH) })
	shell(t, root, `echo new >etc/motd; chmod 600 etc/mode; rm etc/gone; chown 7:8 etc/owner; touch etc/touched
		rm -r srv/opaque; mkdir srv/opaque; echo anew >srv/opaque/anew;
		ln -sf hosts etc/link; rm etc/todir; mkdir etc/todir; echo in >etc/todir/in; echo log >var/log/syslog
		truncate -s 50M srv/sparse; ln etc/motd etc/motd2; mkfifo srv/fifo; printf 1 | dd of=srv/big bs=1 seek=2000000 conv=notrunc status=none
		python3 -c 'import os; os.rename("srv/data", "srv/moved"); os.rename("srv/moved/deep", "srv/moved/deeper"); os.rename("srv/tree", "etc/tree")'
		echo new >srv/moved/kept; chmod 600 srv/moved/deeper/in/kept`)
	must(t, unix.Setxattr(filepath.Join(root, "etc/attr"), "trusted.a", []byte("b"), 0))
	return m
}

// wantChanges are those that newMachine makes.
func wantChanges() map[string]string {
	return map[string]string{
		"/etc/motd": Changed, "/etc/motd2": Added, "/etc/mode": Metadata, "/etc/gone": Deleted, "/etc/owner": Metadata,
		"/srv/opaque": Opaque, "/srv/opaque/anew": Added, "/etc/attr": Metadata, "/etc/link": Changed,
		"/etc/todir": Changed, "/etc/todir/in": Added, "/srv/sparse": Added, "/srv/fifo": Added, "/srv/big": Changed,
		"/srv/data": Deleted, "/srv/moved": Moved, "/srv/moved/kept": Changed, "/srv/moved/deep": Deleted,
		"/srv/moved/deeper": Moved, "/srv/moved/deeper/in/kept": Metadata, "/srv/tree": Deleted, "/etc/tree": Moved,
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func shell(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
}

func compare(t *testing.T, m machine, s Source, archive *tar.Writer) map[string]string {
	t.Helper()
	s.Exclude = DefaultExcludes()
	upper, err := s.Open(t.Context())
	must(t, err)
	root, err := beneath.OpenRoot(m.lower)
	must(t, err)
	defer root.Close()
	changes, err := Compare(t.Context(), root, upper, Options{Archive: archive})
	must(t, errors.Join(err, upper.Close()))
	kinds := map[string]string{}
	for _, c := range changes {
		kinds[c.Path] = c.Kind
	}
	return kinds
}

// TestDriftOfAnOverlay reads the upper directory of a mounted overlay, and lays
// the archive over the same lower one: both must show the same.
func TestDriftOfAnOverlay(t *testing.T) {
	m := newMachine(t)
	var kept bytes.Buffer
	archive := tar.NewWriter(&kept)
	if diff := cmp.Diff(wantChanges(), compare(t, m, Source{Dir: m.upper}, archive)); diff != "" {
		t.Error(diff)
	}
	must(t, archive.Close())
	again := machine{m.lower, filepath.Join(t.TempDir(), "rw")}
	must(t, os.Mkdir(again.upper, 0o755))
	untar := exec.CommandContext(t.Context(), "tar", "-xp", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", again.upper)
	untar.Stdin = &kept
	if out, err := untar.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	if diff := cmp.Diff(wantChanges(), compare(t, again, Source{Dir: again.upper}, nil)); diff != "" {
		t.Errorf("unpacked, the archive is another tree:\n%s", diff)
	}
	if _, err := compareError(t, m, Source{Dir: filepath.Join(m.upper, "nothing")}); err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("a directory that is not there: %v", err)
	}
}

func compareError(t *testing.T, m machine, s Source) ([]Change, error) {
	t.Helper()
	upper, err := s.Open(t.Context())
	if err != nil {
		return nil, err
	}
	defer upper.Close()
	root, err := beneath.OpenRoot(m.lower)
	must(t, err)
	defer root.Close()
	return Compare(t.Context(), root, upper, Options{})
}

// sshServer runs a real one on a loopback address, with the host keys of an
// identity, and gives its port and a client that may log in.
func sshServer(t *testing.T, id vault.Identity) (port int, client string) {
	t.Helper()
	dir := t.TempDir()
	config := "ListenAddress 127.0.0.1\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nStrictModes no\nPidFile none\nAuthorizedKeysFile " + dir + "/authorized_keys\n"
	for path, file := range id.Files() {
		name := filepath.Join(dir, filepath.Base(path))
		must(t, os.WriteFile(name, file.Content(), file.Mode))
		if strings.HasSuffix(path, "_key") {
			config += "HostKey " + name + "\n"
		}
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	must(t, err)
	authorized, err := ssh.NewPublicKey(public)
	must(t, err)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port = free.Addr().(*net.TCPAddr).Port
	free.Close()
	client = filepath.Join(dir, "client")
	for name, text := range map[string]string{
		"id": string(pem.EncodeToMemory(block)), "authorized_keys": string(ssh.MarshalAuthorizedKey(authorized)),
		"sshd_config": config + fmt.Sprintf("Port %d\n", port), "ssh_config": "IdentityFile " + dir + "/id\nIdentitiesOnly yes\n",
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	must(t, os.WriteFile(client, []byte("#!/bin/sh\nexec ssh -F "+dir+"/ssh_config \"$@\"\n"), 0o700))
	must(t, os.MkdirAll("/run/sshd", 0o755))
	ctx, stop := context.WithCancel(context.Background())
	server := exec.CommandContext(ctx, "/usr/sbin/sshd", "-D", "-e", "-f", filepath.Join(dir, "sshd_config"))
	server.Stderr = t.Output()
	must(t, server.Start())
	t.Cleanup(func() { stop(); server.Wait() })
	for range 100 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return port, client
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("sshd does not listen")
	return 0, ""
}

// TestDriftBySSH asks a machine that is known by the keys in its vault, and
// refuses one that has others.
func TestDriftBySSH(t *testing.T) {
	m := newMachine(t)
	store := vault.NewLocal(t.TempDir(), "a passphrase")
	var lines [2][]string
	var ids [2]vault.Identity
	for i, host := range []string{"web01", "web02"} {
		var err error
		ids[i], _, err = vault.Ensure(t.Context(), store, host)
		must(t, err)
		for _, key := range ids[i].Keys() {
			lines[i] = append(lines[i], key.Public)
		}
	}
	port, client := sshServer(t, ids[0])
	source := Source{Host: fmt.Sprintf("root@127.0.0.1:%d", port), Dir: m.upper, SSH: client, KnownHosts: lines[0], Alias: "web01"}
	if diff := cmp.Diff(wantChanges(), compare(t, m, source, nil)); diff != "" {
		t.Error(diff)
	}
	file := filepath.Join(t.TempDir(), "it's here")
	must(t, os.WriteFile(file, []byte("text"), 0o600))
	if text, err := source.Read(t.Context(), file); err != nil || string(text) != "text" {
		t.Errorf("a file of the machine: %q, %v", text, err)
	}
	source.KnownHosts, source.Alias = lines[1], "web02"
	if changes, err := compareError(t, m, source); err == nil || !strings.Contains(err.Error(), "verification failed") {
		t.Errorf("a machine with other keys: %v, %v", changes, err)
	}
	source.KnownHosts = nil
	if changes, err := compareError(t, m, source); err == nil {
		t.Errorf("a machine that nobody knows: %v", changes)
	}
}
