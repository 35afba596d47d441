package inside

import (
	"strconv"
	"strings"
)

// user is a line of /etc/passwd.
type user struct {
	name, home, shell string
	uid, gid          int
}

// user finds a user by name or number: in the files, else wherever the image
// looks for users.
func (c *call) user(who string) (user, bool) {
	line, found := lookUp(c.root.text("/etc/passwd"), who)
	if !found && who != "" {
		said, code := c.said("getent", "passwd", who)
		line, found = strings.Split(said, ":"), code == 0
	}
	if !found || len(line) < 7 {
		return user{}, false
	}
	uid, err := strconv.Atoi(line[2])
	gid, gidErr := strconv.Atoi(line[3])
	return user{name: line[0], uid: uid, gid: gid, home: line[5], shell: line[6]}, err == nil && gidErr == nil
}

// group finds a group's number by its name or number.
func (c *call) group(which string) (int, bool) {
	line, found := lookUp(c.root.text("/etc/group"), which)
	if !found && which != "" {
		said, code := c.said("getent", "group", which)
		line, found = strings.Split(said, ":"), code == 0
	}
	if !found || len(line) < 3 {
		gid, err := strconv.Atoi(which)
		return gid, err == nil
	}
	gid, err := strconv.Atoi(line[2])
	return gid, err == nil
}

// lookUp finds the line of a list that has a name, or a number.
func lookUp(list, which string) (fields []string, found bool) {
	if which == "" {
		return nil, false
	}
	_, err := strconv.ParseUint(which, 10, 32)
	for line := range strings.Lines(list) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) > 2 && (fields[0] == which || err == nil && fields[2] == which) {
			return fields, true
		}
	}
	return nil, false
}
