// Package hub is the network program: one a user, alive while a container is
// connected to it. It has a network namespace with a bridge for every network
// that is in use, and does what needs a process there: addresses, names,
// published ports, the way out (package usernet).
//
// What keeps a container's data flowing is the kernel's: bridges, veth pairs and
// rules stay when the program is killed, because every monitor holds the
// namespace open. The next program finds it again (ruins.go), and the monitors
// connect anew.
//
// Start reading at Main, then attach in member.go.
package hub
