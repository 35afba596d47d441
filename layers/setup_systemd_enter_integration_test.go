//go:build integration

package layers_test

import (
	"os/exec"
	"strings"
	"testing"

	"vauban/layers"
)

// Who enters is for an instant a process of the container that is still a
// program of the builder. The kernel hides it from root inside, for the user
// namespace is not its user's; what could be seen is a file that nobody can
// write to.
func TestEnteringLendsNoFileOfTheBuilder(t *testing.T) {
	e, base := shared.use(t)
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		t.Fatal(err)
	}
	before := readFile(t, nsenter)
	live(t, e, withSystemd(target("watched", base)), func(c *layers.Container) {
		mustSh(t, c, `cat >/srv/catch.py <<'END'
import glob, os
mine = {os.stat(p).st_ino for p in glob.glob('/usr/bin/*') + glob.glob('/usr/sbin/*') + glob.glob('/usr/lib/systemd/*')}
caught = {}
print('watching', flush=True)
while True:
    for exe in glob.glob('/proc/[0-9]*/exe'):
        try:
            fd = os.open(exe, os.O_RDONLY)
        except OSError:
            continue
        st = os.fstat(fd)
        key = (st.st_dev, st.st_ino)
        if st.st_ino in mine or key in caught:
            os.close(fd)
            continue
        caught[key] = fd
        for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_TRUNC):
            for attempt in range(2000):
                try:
                    out = os.open(f'/proc/self/fd/{fd}', flags)
                    try:
                        os.write(out, b'owned')
                    finally:
                        os.close(out)  # else nobody can enter any more
                    print('written', os.readlink(f'/proc/self/fd/{fd}'), flush=True)
                    break
                except OSError as error:
                    if attempt == 0:
                        print('caught', os.readlink(f'/proc/self/fd/{fd}'), error, flush=True)
                    if error.errno != 26:  # ETXTBSY: it still runs
                        break
END
systemd-run --quiet --unit=catch --property=StandardOutput=file:/srv/caught /usr/bin/python3 /srv/catch.py
while ! grep -q watching /srv/caught; do sleep 0.1; done`)
		for range 60 {
			_, _ = sh(t, c, "true") // the watcher may be in the way
		}
		// A program of the container's own is seen.
		mustSh(t, c, `cp /bin/sleep /srv/bait; timeout 60 sh -c '/srv/bait 50 & while ! grep "caught /srv/bait" /srv/caught; do sleep 0.1; done; kill $!'`)
		said := mustSh(t, c, "cat /srv/caught")
		for line := range strings.Lines(said) {
			if strings.HasPrefix(line, "written") && strings.TrimSpace(line) != "written /srv/bait" {
				t.Errorf("a file of the builder was written to: %s", said)
			}
		}
	})
	if readFile(t, nsenter) != before {
		t.Error("the builder's nsenter has changed")
	}
}
