// Package spec translates our container configuration into an OCI runtime
// configuration, one file a section. It is the only translator in that
// direction; runtime/launch turns any OCI configuration, ours or a bundle's,
// into what the stage program does.
package spec
