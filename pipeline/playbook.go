package pipeline

import (
	"fmt"

	"vauban/ansible"
)

type passedNotice struct{ host, text string }

// passedNotices says each thing once, however many hosts it is about.
func passedNotices(passed []ansible.Passed) (all []passedNotice) {
	hosts := map[ansible.Passed][]string{}
	var order []ansible.Passed
	more := 0
	for _, p := range passed {
		host := p.Host
		p.Host = ""
		switch {
		case p.More > 0:
			more += p.More
			continue
		case hosts[p] == nil && len(order) == maxNotices:
			more++
			continue
		case hosts[p] == nil:
			order = append(order, p)
		}
		hosts[p] = append(hosts[p], host)
	}
	for _, p := range order {
		if on := hosts[p]; len(on) == 1 {
			all = append(all, passedNotice{on[0], fmt.Sprintf("task %s", p)})
		} else {
			all = append(all, passedNotice{"", fmt.Sprintf("task %s, on %d hosts", p, len(on))})
		}
	}
	if more > 0 {
		all = append(all, passedNotice{"", fmt.Sprintf("and %d more", more)})
	}
	return all
}
