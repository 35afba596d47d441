package inside

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

const (
	zoneDir   = "/usr/share/zoneinfo"
	localtime = "/etc/localtime"
	adjtime   = "/etc/adjtime"
)

// zone returns the time zone that /etc/localtime leads to.
func (c *call) zone() string {
	target, _ := c.root.ReadLink(localtime)
	if at := strings.LastIndex(target, "/zoneinfo/"); at >= 0 {
		return target[at+len("/zoneinfo/"):]
	}
	return "Etc/UTC"
}

// ntpUnits are those installed that timedated takes for NTP, the one that it
// prefers first. Source: systemd-timedated.service(8).
func (c *call) ntpUnits() (units []string) {
	for _, dir := range []string{"/etc/systemd/ntp-units.d", "/usr/lib/systemd/ntp-units.d"} {
		entries, _ := c.root.ReadDir(dir)
		for _, entry := range entries {
			if !strings.HasSuffix(entry.Name(), ".list") {
				continue
			}
			for line := range strings.Lines(c.root.text(path.Join(dir, entry.Name()))) {
				unit := strings.TrimSpace(line)
				if unit != "" && c.root.exists(path.Join("/usr/lib/systemd/system", unit)) {
					units = append(units, unit)
				}
			}
		}
	}
	return units
}

// ntp says whether the time would be kept by now. It is: by the builder.
func (c *call) ntp() (known, active bool) {
	units := c.ntpUnits()
	return len(units) > 0, len(units) > 0 && SystemUnits(c.root).Active(units[0])
}

func isYes(word string) bool {
	return slices.Contains([]string{"1", "yes", "y", "true", "t", "on"}, word)
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

func (c *call) localRTC() bool {
	return slices.Contains(strings.Split(c.root.text(adjtime), "\n"), "LOCAL")
}

// timedatectl, where no systemd runs that it could ask. What it sets is in
// files.
func (c *call) timedatectl() int {
	c.readVerb()
	switch c.verb {
	case "", "status":
		return c.timeStatus()
	case "show":
		known, active := c.ntp()
		return c.printAsked("Timezone="+c.zone(), "LocalRTC="+yes(c.localRTC()), "CanNTP="+yes(known),
			"NTP="+yes(active), "NTPSynchronized="+yes(active))
	case "set-timezone":
		return c.setTimezone()
	case "set-local-rtc":
		return c.written(c.setLocalRTC(), "written to /etc/adjtime")
	case "set-ntp":
		return c.setNTP()
	case "list-timezones":
		return c.listTimezones()
	case "set-time":
		return c.passed("a stage sets no clock")
	}
	return c.real()
}

func (c *call) timeStatus() int {
	known, active := c.ntp()
	service := "inactive"
	switch {
	case !known:
		service = "n/a"
	case active:
		service = "active"
	}
	clock := *c
	clock.environ = append(slices.Clone(c.environ), "TZ="+c.zone())
	offset, _ := clock.said("date", "+%Z, %z") // what a clock there shows: CET, +0100
	fmt.Fprintf(c.stdout, "                Time zone: %s (%s)\nSystem clock synchronized: %s\n              NTP service: %s\n          RTC in local TZ: %s\n",
		c.zone(), offset, yes(active), service, yes(c.localRTC()))
	return 0
}

func (c *call) setTimezone() int {
	if c.operand == "" || !c.root.isFile(path.Join(zoneDir, c.operand)) {
		return c.fail(1, "Failed to set time zone: Invalid or not installed time zone '%s'", c.operand)
	}
	err := c.root.relink("../usr/share/zoneinfo/"+c.operand, localtime)
	if err == nil && c.root.exists("/etc/timezone") {
		err = c.root.write("/etc/timezone", c.operand+"\n")
	}
	return c.written(err, "/etc/localtime leads to it")
}

func (c *call) setLocalRTC() error {
	if isYes(c.operand) {
		return c.root.write(adjtime, "0.0 0 0\n0\nLOCAL\n")
	}
	if !c.root.exists(adjtime) {
		return nil
	}
	return c.root.write(adjtime, strings.ReplaceAll(c.root.text(adjtime), "LOCAL", "UTC"))
}

// setNTP enables the unit that timedated prefers, or disables all.
func (c *call) setNTP() int {
	units := c.ntpUnits()
	change, state := "disable", stopped
	if isYes(c.operand) {
		if len(units) == 0 {
			return c.fail(1, "Failed to set ntp: NTP not supported")
		}
		units, change, state = units[:1], "enable", started
	}
	for _, unit := range units {
		if code := c.start(output{c.stdout, c.stderr}, "systemctl", change, unit); code != 0 {
			return code
		}
		if err := c.remember(state, unit); err != nil {
			return c.fail(1, "vauban: %s: %v", c.name, err)
		}
	}
	return c.passed("the service is enabled or disabled, from the next boot on")
}

func (c *call) listTimezones() int {
	zones := []string{"UTC"}
	for line := range strings.Lines(c.root.text(path.Join(zoneDir, "tzdata.zi"))) {
		switch fields := strings.Fields(line); {
		case len(fields) > 1 && fields[0] == "Z":
			zones = append(zones, fields[1])
		case len(fields) > 2 && fields[0] == "L":
			zones = append(zones, fields[2])
		}
	}
	return c.printSorted(zones)
}

// remove removes a file, if there is one.
func (r *Root) remove(name string) error {
	if err := os.Remove(r.Join(name)); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// relink makes a path a link, whatever it was.
func (r *Root) relink(target, name string) error {
	if err := r.remove(name); err != nil {
		return err
	}
	return os.Symlink(target, r.Join(name))
}
