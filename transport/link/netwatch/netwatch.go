// Package netwatch tells when the network of this machine has changed: an
// interface that comes up or goes down, an address, a route. It asks the kernel
// over netlink, which needs no privilege. It must never decide what to do about it.
package netwatch

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// groups are the kernel's multicast groups for what there is to tell.
const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE

// Changes come in bursts: a link, its address, its routes. They are told as one,
// once it has been quiet for settle, but no later than patience after the first.
const (
	settle   = 100 * time.Millisecond
	patience = 500 * time.Millisecond
)

// Run calls changed after each burst of changes, until ctx is done. Where netlink
// cannot be had it just waits for that.
func Run(ctx context.Context, changed func()) {
	f, err := open()
	if err != nil {
		<-ctx.Done()
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = f.Close() }) // ends the read below
	defer func() {
		if stop() {
			_ = f.Close() // it was only read
		}
	}()
	heard := make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		listen(f, heard)
	}()
	gather(ctx, heard, changed)
	_ = f.Close() // likewise
	<-ended
}

// open opens a socket that hears of changes.
func open() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}

// listen notes that something was said, whatever it was. That more was said than
// the socket could hold is news too.
func listen(f *os.File, heard chan<- struct{}) {
	buf := make([]byte, 8<<10)
	for {
		if _, err := f.Read(buf); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
		select {
		case heard <- struct{}{}:
		default:
		}
	}
}

// gather calls changed once for each burst.
func gather(ctx context.Context, heard <-chan struct{}, changed func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-heard:
		}
		last := time.NewTimer(patience)
		quiet := time.NewTimer(settle)
		for more := true; more; {
			select {
			case <-ctx.Done():
				more = false
			case <-heard:
				quiet.Reset(settle)
			case <-quiet.C:
				more = false
			case <-last.C:
				more = false
			}
		}
		last.Stop()
		quiet.Stop()
		if ctx.Err() == nil {
			changed()
		}
	}
}
