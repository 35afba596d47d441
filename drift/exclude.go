package drift

// DefaultExcludes lists what every machine writes by itself, as patterns of
// paths relative to the root.
func DefaultExcludes() []string {
	return []string{
		"run/**", "tmp/**", "var/tmp/**", "var/log/**", "var/cache/**", "live/**",
		"etc/machine-id", "etc/.updated", "var/.updated", "etc/.pwd.lock",
		"var/lib/apt/lists/**", "var/lib/apt/periodic/**", "var/lib/dhcp/**", "var/lib/dhcpcd/**",
		"var/lib/systemd/random-seed", "var/lib/systemd/credential.secret", "var/lib/systemd/timers/**",
		"var/lib/systemd/timesync/**", "var/lib/private/systemd/timesync/**", "var/lib/systemd/catalog/**",
		"var/lib/systemd/coredump/**", "var/lib/systemd/rfkill/**", "var/lib/systemd/backlight/**",
		"var/lib/systemd/deb-systemd-helper*", "var/lib/NetworkManager/**", "var/lib/chrony/**", "var/lib/ntpsec/**",
		"var/lib/logrotate/status", "var/lib/urandom/**", "var/lib/dbus/machine-id",
		"var/lib/sudo/**", "var/spool/anacron/**",
		"root/.bash_history", "root/.lesshst", "root/.viminfo", "home/*/.bash_history",
	}
}
