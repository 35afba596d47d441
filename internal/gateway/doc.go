// Package gateway connects a network namespace to the outside through
// slirp4netns, and keeps what is inside away from the builder.
//
// The namespace gets one network card, a tap device whose other end this
// process holds. Each frame that comes out of it is checked here before
// slirp4netns sees it, because slirp4netns connects to whatever address a
// packet names, the builder's loopback included. What is inside may have every
// capability over its own namespace: routes, addresses, raw packets, a
// firewall. It has none over this process.
//
// The check is not done with nftables in a namespace in between: a veth pair
// would show that namespace to the container, where NET_ADMIN is enough to put
// a macvlan on the other side of the filter (ip link add link-netnsid 0 …).
package gateway
