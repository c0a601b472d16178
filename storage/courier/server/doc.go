// Package server is the courier: it carries images between registries,
// archives and the store. It is the only place that links containers/image and
// the only writer of containers/storage. It runs as a process of its own
// (storage/courier), started by storage/courier/client with the messages of
// storage/courier/message.
//
// An image arrives in this order, and a power cut or a kill at any point leaves
// either the whole image or junk that the next transfer deletes (heal.go):
//
//  1. each layer is unpacked into a staging directory, many at once (stage.go)
//  2. the layers are put in place, from the base up (layers.go)
//  3. the file system is synced (publish.go)
//  4. the image's record is written, with our mark as its last item
//  5. names move to it from whatever had them
//
// Start reading at Main in serve.go.
package server
