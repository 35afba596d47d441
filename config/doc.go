// Package config turns config.yml into the tree of bases and masters that
// vauban builds, with the settings that apply to it.
//
// A [Config] holds [Base]s; a base holds [Master]s; a master holds masters in
// its turn and the [Stage]s that make its image out of its parent's. The tree
// is a value: nothing changes it once [Load] has returned it.
//
// Reading is strict, and says every mistake of a file in one go, each with its
// place, the rule, and the way out: see [Errors]. Only the configuration is
// read: whether a playbook or a base's file exists is for others to find out.
package config
