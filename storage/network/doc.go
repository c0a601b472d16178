// Package network is the user's networks as records: a name, a range of
// addresses, options. It makes no interface; the network program does, while a
// container is attached (runtime/network). It does not know who uses a network:
// the caller that removes one asks the containers first.
//
// A network is the file <store>/networks/<name>.json. The networks bridge, host
// and none are always there and have no file.
package network
