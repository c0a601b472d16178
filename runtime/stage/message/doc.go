// Package message is what the programs of one container tell each other: the
// front and the monitor, the monitor and the container's init. Standard library
// and x/sys only.
//
// A start, top to bottom; what is in brackets happens only where wanted:
//
//	front                     monitor                      init
//	  | -- Monitor ------------> |                           |
//	  |                          | == clone, exec =========> |
//	  |                          | -- Init (+ root mount) -> |
//	  |                          | <- [NetworkWanted] ------ |
//	  |                          | -- [NetworkReady] ------> |
//	  |                          | <- [ConsoleReady (+fd)] - |
//	  |                          | <- [HooksWanted] -------- |
//	  |                          | -- [HooksDone] ---------> |
//	  |                          | <- RootReady ------------ |  everything but exec is done
//	  |                          | -- StartGranted --------> |
//	  |                          | <- end of file ---------- |  exec closed the socket
//	  | <- Started ------------- |
//
// At any point init may say StepFailed instead, which the monitor passes on.
// After Started the front's connection is an ordinary client's: Stdin,
// StdinClosed, Resized and SignalWanted one way; Stdout, Stderr and at last
// Exited the other. Later clients connect to the control socket and say
// AttachWanted first, or ExecWanted: the process that the monitor then starts has
// its streams and its configuration (Exec, by a socket of its own) from the
// client, and only its end is told there; or HookWanted, which HookDone answers when
// the hook has ended.
package message
