//go:build integration

package build

import (
	"strings"
	"testing"

	"vauban/ansible"
)

// What a stage passes over is in the run's summary and in the image, and a
// strict run fails of it.
func TestPassedIsToldOf(t *testing.T) {
	w := newWorld(t, map[string]string{
		"hosts":               "host1\n",
		"ansible.cfg":         "[defaults]\ninventory = hosts\n",
		"playbook_master.yml": "- hosts: all\n  gather_facts: false\n  tasks: [{name: start anew, command: /sbin/reboot}]\n",
	})
	request := Request{Names: []string{"master-test"}, Stage: Rootfs}
	r, _, err := w.build(t, Options{NoPublish: true, NoPush: true}, request)
	if err != nil {
		t.Fatal(err)
	}
	const what = `task "start anew" (playbook_master.yml:3): reboot: a stage does not reboot`
	notices := r.Summary().Tasks[0].Notices
	if len(notices) != 1 || notices[0].Text != "playbook_master.yml: passed over: "+what {
		t.Errorf("the summary has notices %q", notices)
	}
	img, err := w.engine.Image(t.Context(), "master-test:latest")
	if err != nil {
		t.Fatal(err)
	}
	if list := img.Config.Config.Labels[ansible.LabelPassed]; !strings.Contains(list, `"task":"start anew"`) {
		t.Errorf("the image's label is %s", list)
	}
	_, outcomes, err := w.build(t, Options{NoPublish: true, NoPush: true, Strict: true}, request)
	if err == nil || outcomes[0].Err == nil || !strings.Contains(outcomes[0].Err.Error(), "--strict: "+what) {
		t.Errorf("a strict run ended with %v: %v", err, outcomes[0].Err)
	}
}
