package gateway

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openTap makes and configures a network card in the namespace of this thread.
func openTap(name string) (_ *os.File, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("making the network card %q: %w", name, err)
		}
	}()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil, fmt.Errorf("opening /dev/net/tun: %w (modprobe tun; in a container, pass --device /dev/net/tun)", err)
	} else if err != nil {
		return nil, fmt.Errorf("opening /dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err == nil {
		err = configure(name)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	// Only now: the poller does not take one without a device.
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

// configure brings the loopback and a network card up.
func configure(name string) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	for _, step := range []func() error{
		func() error { return up(socket, "lo") },
		func() error {
			return set(socket, name, unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(mtu); return nil })
		},
		func() error {
			return set(socket, name, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(Address.AsSlice()) })
		},
		func() error {
			return set(socket, name, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 255, 0}) })
		},
		func() error { return up(socket, name) },
		func() error { return addDefaultRoute(socket, name) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func set(socket int, name string, what uint, fill func(*unix.Ifreq) error) error {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := fill(request); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(socket, what, request); err != nil {
		return fmt.Errorf("configuring %q: %w", name, err)
	}
	return nil
}

func up(socket int, name string) error {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(socket, unix.SIOCGIFFLAGS, request); err != nil {
		return fmt.Errorf("reading the flags of %q: %w", name, err)
	}
	flags := request.Uint16()
	return set(socket, name, unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(flags | unix.IFF_UP); return nil })
}

// route is struct rtentry. Source: linux/route.h.
type route struct {
	_                         uintptr
	destination, gateway, net unix.RawSockaddrInet4
	flags                     uint16
	_                         int16
	_                         uintptr
	_                         uintptr
	metric                    int16
	device                    *byte
	mtu, window               uintptr
	irtt                      uint16
}

func addDefaultRoute(socket int, name string) error {
	device, err := unix.BytePtrFromString(name)
	if err != nil {
		return err
	}
	r := route{flags: unix.RTF_UP | unix.RTF_GATEWAY, device: device}
	r.destination.Family, r.net.Family = unix.AF_INET, unix.AF_INET
	r.gateway = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: Router.As4()}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), unix.SIOCADDRT, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return fmt.Errorf("adding the default route: %w", errno)
	}
	return nil
}
