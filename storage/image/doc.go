// Package image is what the store's records say about images: list, resolve
// and inspect. It reads the records that containers/storage publishes by
// rename, without opening the store, which would cost a command more than the
// rest of it. Whatever writes goes through the courier (storage/courier).
package image
