package inside

import (
	"os"
	"path"
	"strconv"
)

// orders are commands that a service gets orders by: patterns of the name and
// the words of a command, and the service's process. A service that is to read
// its files does so when the machine starts it.
var orders = []struct {
	process  string
	patterns []string
}{
	{"nginx", []string{`nginx:* -s *`}},
	{"apache2", []string{`apache*ctl:*start `, `apache*ctl:* graceful*`, `apache*ctl:*stop `}},
	{"master", []string{`postfix:* reload *`, `postfix:* flush *`, `postfix:* start *`, `postfix:* stop *`}},
	{"named", []string{`rndc:* re[clft]*`, `rndc:* flush*`, `rndc:* freeze *`, `rndc:* thaw *`, `rndc:* sync *`}},
	{"fail2ban-server", []string{`fail2ban-client:* reload *`, `fail2ban-client:* *start *`, `fail2ban-client:* stop *`}},
	{"squid", []string{`squid:* -k reconfigure *`, `squid:* -k rotate *`, `squid:* -k shutdown *`}},
	{"supervisord", []string{`supervisorctl:* re[rls]*`, `supervisorctl:* update *`, `supervisorctl:* *start *`, `supervisorctl:* stop *`}},
	{"monit", []string{`monit:* reload *`, `monit:* *start *`, `monit:* stop *`, `monit:*monitor *`}},
	{"chronyd", []string{`chronyc:* makestep *`, `chronyc:* reload *`, `chronyc:* burst *`, `chronyc:*line `, `chronyc:* waitsync *`}},
	{"unbound", []string{`unbound-control:* re[cl]*`, `unbound-control:* flush*`, `unbound-control:*start `, `unbound-control:*stop `}},
	{"dovecot", []string{`dove*:* reload *`, `dove*:* stop *`}},
	{anyProcess, []string{
		`pkill:* -HUP *`, `killall:* -HUP *`, `*kill*:* -1 *`, `*kill*:* -SIGHUP *`,
		`*kill*:* -*USR[12] *`, `*kill*:* -s HUP *`, `*kill*:* --signal HUP *`,
	}},
}

// anyProcess is of a command that names the process itself.
const anyProcess = "any"

// addressed returns the process that the command gives an order to, if it does.
func (c *call) addressed() string {
	for _, order := range orders {
		if matchesAny(c.name+": "+c.line()+" ", order.patterns...) {
			return order.process
		}
	}
	return ""
}

// runs says whether there is such a process, which a stand-in is not.
func (c *call) runs(process string) bool {
	own, ownErr := os.Stat("/proc/self/exe")
	for _, pid := range c.processes() {
		if c.ofProcess(pid, "comm") != process+"\n" {
			continue
		}
		exe, err := os.Stat(path.Join("/proc", strconv.Itoa(pid), "exe"))
		if err != nil || ownErr != nil || !os.SameFile(own, exe) {
			return true
		}
	}
	return false
}

// daemon leaves out orders to a service that does not run.
func (c *call) daemon() int {
	if c.systemdRuns() {
		return c.real()
	}
	switch process := c.addressed(); {
	case process == "":
		return c.real()
	case process == anyProcess:
		if c.start(output{c.stdout, nil}, c.name, c.args...) == 0 {
			return 0
		}
	case c.runs(process):
		return c.real()
	}
	if code := c.checkFiles(); code != 0 {
		return code
	}
	return c.passed("no such service runs in a stage: it reads its files when it starts")
}

// checkFiles has a service look at its files: it would refuse what it cannot read.
func (c *call) checkFiles() int {
	switch c.name {
	case "nginx":
		return c.runReal("-t", "-q")
	case "apache2ctl", "apachectl":
		return c.runReal("-t")
	case "squid":
		if c.start(output{}, c.name, "-k", "parse") != 0 {
			return c.runReal("-k", "parse")
		}
	}
	return 0
}
