package cmdline

import (
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		"":                                {},
		"  audit=1\tquiet ":               {"audit=1", "quiet"},
		`dyndbg="file a.c +p" quiet`:      {`dyndbg="file a.c +p"`, "quiet"},
		`"audit=1 init=/bin/sh" quiet`:    {`"audit=1 init=/bin/sh"`, "quiet"},
		`a="b init=/bin/sh`:               {`a="b init=/bin/sh`},
		"a\x0bb\x00c":                     {"a", "b\x00c"},
		`x"y z"w v`:                       {`x"y z"w`, "v"},
		strings.Repeat("x ", maxLine/2):   slices.Repeat([]string{"x"}, maxLine/2),
		strings.Repeat("x ", maxLine/2+1): nil,
	} {
		got, err := Split(line)
		if (err != nil) != (want == nil) || !slices.Equal(got, want) {
			t.Errorf("%.40q: got %q, %v; want %q", line, got, err, want)
		}
	}
}

// What roles bring that were seen, and what none may.
func TestFilter(t *testing.T) {
	kept := strings.Fields(`console=ttyS0,115200n8 hugepages=1024 default_hugepagesz=1G hugepagesz=1G isolcpus=managed_irq,2-5
		nohz_full=2-5 rcu_nocbs=2-5 intel_iommu=on amd_iommu=on iommu=pt mitigations=auto,nosmt net.ifnames=0 biosdevname=0
		apparmor=1 security=apparmor lsm=landlock,lockdown,yama,apparmor,bpf selinux=0 audit=1 audit_backlog_limit=8192
		cgroup_enable=memory cgroup_no_v1=all swapaccount=1 systemd.unified_cgroup_hierarchy=0 transparent_hugepage=never
		numa_balancing=disable crashkernel=256M nmi_watchdog=0 panic=10 pci=realloc pcie_aspm=off acpi_osi=Linux acpi=force
		acpi.ec_no_wakeup=1 processor.max_cstate=1 intel_idle.max_cstate=0 intel_pstate=disable tsc=reliable clocksource=tsc
		nomodeset quiet loglevel=3 consoleblank=0 ipv6.disable=1 slab_nomerge init_on_alloc=1 init_on_free=1 page_alloc.shuffle=1
		vsyscall=none debugfs=off randomize_kstack_offset=on lockdown=confidentiality module.sig_enforce=1 kfence.sample_interval=100
		spectre_v2=on spec_store_bypass_disable=on tsx=off l1tf=full,force mds=full,nosmt kvm.nx_huge_pages=force pti=on mce=0
		oops=panic page_poison=1 slub_debug=FZ random.trust_cpu=off efi=disable_early_pci_dma extra_latent_entropy
		kvm-intel.nested=1 nvme_core.io_timeout=4294967295 module_blacklist=dccp,sctp usb-storage.quirks=1:2:u fips=1
		mlx5_core.prof_sel=2 intel-iommu=on`)
	got, refused := Filter(append(slices.Clone(kept), "ro", "rw", "BOOT_IMAGE=/vmlinuz"), nil)
	if !slices.Equal(got, kept) || len(refused) > 0 {
		t.Errorf("refused %v", refused)
	}
	// All of them whatever config.yml allows.
	never := strings.Fields(`rd.systemd.debug_shell systemd.debug_shell systemd.debug-shell rd.systemd.debug-shell=1 rd.shell rd.break=mount rdinit=/bin/sh
		init=/bin/sh systemd.unit=emergency.target systemd.unit=rescue.target systemd.unit=multi-user.target single 1 S s emergency rescue
		-b -s root=/dev/sda1 rootflags=ro rootfstype=ext4 live.updates=http://x/y vauban.sums=sha256:0 vauban.timeout=1
		systemd.run=/bin/sh systemd.run-success-action=none systemd.set_credential=a:b systemd.set-credential-binary=a:b
		systemd.import_credentials=yes systemd.mask=x systemd.wants=debug-shell.service systemd.setenv=LD_PRELOAD=/x
		systemd.crash_shell=1 systemd.mount-extra=a:b rd.driver.blacklist=x rd.live.overlay=x ip=dhcp ip6=x initrd=/x noinitrd
		LD_PRELOAD=/x PATH=/x rdshell rdbreak SYSTEMD_UNIT_PATH=/x kgdboc=ttyS0 netroot=nbd:x boot=live`)
	further := []string{"*", "systemd.*", "r*", "i*", "LD_*", "ip6", "kgdboc", "l*=*"}
	got, refused = Filter(never, further)
	if want := []string{"ip6=x"}; !slices.Equal(got, want) || len(refused) != len(never)-1 {
		t.Errorf("kept %q", got)
	}
	for _, err := range refused {
		if !strings.Contains(err.Error(), "--append") {
			t.Errorf("%v does not say what to do", err)
		}
	}
}

func TestFilterExtended(t *testing.T) {
	got, refused := Filter(strings.Fields("foo foo=1 mine=a mine=b mod.x=/dev/a other -- bar"), []string{"foo", "mine=a", "mod.*=/dev/*"})
	if want := strings.Fields("foo foo=1 mine=a mod.x=/dev/a"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for i, want := range []string{`"mine=b" is not on the list`, `add "other" to kernel_parameters`, "the 1 after it"} {
		if i >= len(refused) || !strings.Contains(refused[i].Error(), want) {
			t.Errorf("refused %v: want %q", refused, want)
		}
	}
	for _, p := range []string{`audit="1"`, "audit=1\ninit=x", "audit=\x1b[2J", "audit=$x", "audit=é", "audit='x'", `audit=\x`, "audit=" + strings.Repeat("1", 300)} {
		if got, refused := Filter([]string{p}, []string{"audit"}); len(got) > 0 || len(refused) != 1 || len(refused[0].Error()) > 600 {
			t.Errorf("%.40q: kept %q, %v", p, got, refused)
		}
	}
}

func TestCheckPattern(t *testing.T) {
	for pattern, ok := range map[string]bool{
		"foo": true, "foo=1": true, "foo.*": true, "systemd.default_timeout_stop_sec": true, "sysctl.vm.swappiness": true,
		"": false, "*": false, "*=1": false, "a b": false, "init": false, "init=/sbin/init": false, "systemd.unit=multi-user.target": false,
		"rd.*": false, "systemd.debug-shell": false,
	} {
		if err := CheckPattern(pattern); (err == nil) != ok {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

// The page lists what the program allows.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/boot.md")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.FieldsFunc(string(page), func(r rune) bool { return strings.ContainsRune(" \n`|,", r) })
	for _, pattern := range append(Allowed(), Never()...) {
		if !slices.Contains(words, pattern) {
			t.Errorf("docs/boot.md lacks %q", pattern)
		}
		if _, err := path.Match(pattern, ""); err != nil || strings.Contains(pattern, "=") {
			t.Errorf("%q is not a pattern of a name", pattern)
		}
	}
	for _, pattern := range Allowed() {
		if slices.ContainsFunc(Never(), func(never string) bool { return matches(never, pattern) }) {
			t.Errorf("%q is allowed and never allowed", pattern)
		}
	}
}

// Whatever a menu says, what is kept is plain, allowed, and not one of those
// that decide what is booted.
func FuzzFilter(f *testing.F) {
	f.Add("audit=1 quiet", "foo")
	f.Add(`dyndbg="file x +p" init=/bin/sh -- single`, "*")
	f.Add("systemd.debug-shell RD.shell rd-shell= =x", "systemd.*")
	f.Fuzz(func(t *testing.T, line, further string) {
		parameters, err := Split(line)
		if err != nil {
			return
		}
		kept, refused := Filter(parameters, []string{further})
		if len(kept)+len(refused) > len(parameters) {
			t.Fatalf("%d kept and %d refused of %d", len(kept), len(refused), len(parameters))
		}
		again, err := Split(strings.Join(kept, " "))
		if err != nil || !slices.Equal(again, kept) {
			t.Fatalf("%q is not read the same again: %q", kept, again)
		}
		for _, p := range kept {
			name, _, _ := strings.Cut(p, "=")
			name = strings.ReplaceAll(name, "-", "_")
			if Check(p) != nil || slices.Contains([]string{"init", "root", "ip", "systemd.debug_shell", "systemd.unit", "1", "S"}, name) ||
				strings.HasPrefix(name, "rd.") || strings.HasPrefix(name, "vauban.") {
				t.Fatalf("kept %q", p)
			}
		}
	})
}
