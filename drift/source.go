package drift

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"vauban/internal/command"
)

// DefaultDir is where a machine that vauban booted keeps its changes.
const DefaultDir = "/live/cow/rw"

// A Source is where an upper directory is read.
type Source struct {
	// Host is [USER@]HOST[:PORT], reached by ssh(1); "" is this machine.
	Host string
	// Dir is the upper directory there.
	Dir string
	// KnownHosts are the lines of known_hosts that the machine must be known
	// by, under the name Alias. Nil: the user's own known_hosts.
	KnownHosts []string
	Alias      string
	// SSH is the program. "" finds ssh on the PATH.
	SSH string
	// Exclude are patterns that the machine need not send: those that end in
	// /**. What it sends all the same is left out later.
	Exclude []string
}

// ParseSource reads "DIR" or "ssh:[USER@]HOST[:PORT]".
func ParseSource(text string) (Source, error) {
	host, ok := strings.CutPrefix(text, "ssh:")
	if !ok {
		if text == "" {
			return Source{}, errors.New("no directory and no machine is named: give DIR or ssh:[USER@]HOST")
		}
		return Source{Dir: text}, nil
	}
	host = strings.TrimPrefix(host, "//")
	if !remoteHost.MatchString(host) {
		return Source{}, fmt.Errorf("%q is not a machine: write ssh:[USER@]HOST[:PORT]", text)
	}
	return Source{Host: host, Dir: DefaultDir}, nil
}

// remoteHost can be no option of ssh's, and nothing that a shell would expand.
var remoteHost = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9_.-]*@)?([A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

// Machine is the host without user and port.
func (s Source) Machine() string { return remoteHost.FindStringSubmatch(s.Host)[2] }

// Open reads the upper directory as a tar. Closing it ends what runs; a
// failure on the way is the reader's.
func (s Source) Open(ctx context.Context) (io.ReadCloser, error) {
	return s.run(ctx, s.tarCommand(), changedMeanwhile)
}

// maxFile bounds what Read reads, in bytes.
const maxFile = 16 << 20

// Read reads a small file of the machine.
func (s Source) Read(ctx context.Context, path string) ([]byte, error) {
	if s.Host == "" {
		return nil, errors.ErrUnsupported
	}
	out, err := s.run(ctx, "cat -- "+quote(path), -1)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	return io.ReadAll(io.LimitReader(out, maxFile))
}

// changedMeanwhile is how GNU tar ends when a file changed or vanished while it
// was read, as files of a running machine do.
const changedMeanwhile = 1

// tarCommand is a command of sh(1). Who is not root asks sudo, which must not
// ask back.
func (s Source) tarCommand() string {
	tar := []string{"tar", "--create", "--file=-", "--directory=" + s.Dir, "--format=posix", "--numeric-owner", "--sparse",
		"--xattrs", "--xattrs-include=*", "--one-file-system", "--warning=no-file-ignored", "--anchored", "--wildcards", "--wildcards-match-slash"}
	for _, pattern := range s.Exclude {
		if dir, ok := strings.CutSuffix(pattern, "/**"); ok {
			tar = append(tar, "--exclude=./"+strings.Trim(dir, "/")+"/*")
		}
	}
	words := ""
	for _, word := range append(tar, ".") {
		words += " " + quote(word)
	}
	return `if [ "$(id -u)" = 0 ]; then set --; else set -- sudo -n; fi; exec "$@"` + words
}

func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

func (s Source) run(ctx context.Context, script string, tolerated int) (_ io.ReadCloser, err error) {
	args, dir := []string{"sh", "-c", script}, ""
	if s.Host != "" {
		if args, dir, err = s.sshArguments(script); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var said command.Tail
	cmd.Stderr = &said
	out, err := command.Start(cmd, func(err error) error {
		if cmd.ProcessState.ExitCode() == tolerated {
			return nil
		}
		return fmt.Errorf("running %s: %w: %s", args[0], err, said.String())
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", args[0], err), os.RemoveAll(dir))
	}
	return &output{out, dir}, nil
}

// sshArguments never let ssh ask, nor take a key that it does not know. They may
// name files in dir, which is to be removed; "" for none.
func (s Source) sshArguments(script string) (args []string, dir string, err error) {
	program := s.SSH
	if program == "" {
		program = "ssh"
	}
	match := remoteHost.FindStringSubmatch(s.Host)
	args = []string{program, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ForwardAgent=no", "-o", "ClearAllForwardings=yes", "-T"}
	if len(s.KnownHosts) > 0 {
		if dir, err = os.MkdirTemp("", "vauban-drift-"); err != nil {
			return nil, "", err
		}
		file := filepath.Join(dir, "known_hosts")
		var lines strings.Builder
		for _, key := range s.KnownHosts {
			fmt.Fprintf(&lines, "%s %s\n", s.Alias, key)
		}
		if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
			return nil, "", errors.Join(err, os.RemoveAll(dir))
		}
		args = append(args, "-o", "UserKnownHostsFile="+file, "-o", "GlobalKnownHostsFile=/dev/null",
			"-o", "HostKeyAlias="+s.Alias, "-o", "UpdateHostKeys=no", "-o", "CheckHostIP=no", "-o", "VerifyHostKeyDNS=no")
	}
	if match[3] != "" {
		args = append(args, "-p", match[3][1:])
	}
	return append(args, "--", match[1]+strings.Trim(match[2], "[]"), script), dir, nil
}

// output is a running program's, with a folder of temporary files.
type output struct {
	*command.Output
	dir string // or ""
}

// Close ends the program if it still runs.
func (o *output) Close() error { return errors.Join(o.Output.Close(), os.RemoveAll(o.dir)) }
