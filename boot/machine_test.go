package boot

import (
	"slices"
	"strings"
	"testing"
)

func TestMachineArgs(t *testing.T) {
	for name, test := range map[string]struct {
		machine machine
		want    []string
	}{
		"emulated, waiting": {
			machine{program: "qemu", memory: 900, cpus: 2, serialLog: "/tmp/a,b"},
			[]string{"-accel tcg,thread=multi", "-m 900", "-smp 2", "-chardev file,id=console,path=/tmp/a,,b", "-serial chardev:report"},
		},
		"accelerated, interactive": {
			machine{program: "qemu", kvm: true, interactive: true, serialLog: "/tmp/log"},
			[]string{"-accel kvm", "-chardev stdio,id=console,mux=on,signal=off,logfile=/tmp/log", "-serial chardev:console"},
		},
		"with firmware": {
			machine{program: "qemu", kernel: "k", initramfs: "i", commandLine: "quiet", firmware: "/ovmf,1.fd"},
			[]string{"-kernel k", "-initrd i", "-append quiet", "-netdev user,id=net", "-bios /ovmf,1.fd"},
		},
		"by its network card": {
			machine{program: "qemu", script: "http://10.0.2.2:80/a,b.ipxe"},
			[]string{"-netdev user,id=net,bootfile=http://10.0.2.2:80/a,,b.ipxe", "-device virtio-net-pci,netdev=net,bootindex=0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			args := test.machine.args()
			if args[0] != "qemu" {
				t.Errorf("the program is %q", args[0])
			}
			for _, want := range test.want {
				option, value, _ := strings.Cut(want, " ")
				if !slices.Contains(pairs(args), [2]string{option, value}) {
					t.Errorf("no %s in %q", want, args)
				}
			}
		})
	}
}

func pairs(args []string) [][2]string {
	var pairs [][2]string
	for i := range len(args) - 1 {
		pairs = append(pairs, [2]string{args[i], args[i+1]})
	}
	return pairs
}

func TestMachineParameters(t *testing.T) {
	for _, test := range []struct {
		machine machine
		want    string
	}{
		{machine{kvm: true, interactive: true}, "quiet"},
		{machine{kvm: true}, "rd.emergency=poweroff panic=-1 quiet"},
		{machine{interactive: true}, "norandmaps quiet"},
	} {
		if got := strings.Join(test.machine.parameters([]string{"quiet"}), " "); got != test.want {
			t.Errorf("%+v: got %q, want %q", test.machine, got, test.want)
		}
	}
}
