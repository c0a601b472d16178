// Package message is what the front and the courier say to each other: the
// front writes one Request on a pipe and keeps the pipe open for as long as it
// wants the answer; the courier writes Replies, one JSON object a line, of which
// the last carries Done. When the request pipe closes, the front is gone and
// the courier cleans up and ends.
//
//	front                                   courier
//	  │ Request{Pull: ...}                     │
//	  │ ─────────────────────────────────────▶ │
//	  │              Reply{Event: Pulling}     │
//	  │ ◀───────────────────────────────────── │
//	  │              Reply{Event: Layer...} *  │
//	  │ ◀───────────────────────────────────── │
//	  │              Reply{Done: ...}          │
//	  │ ◀───────────────────────────────────── │
//
// Standard library only: both programs link it.
package message

import (
	"encoding/json"
	"time"
)

// Descriptors of the courier process. Its standard input is the archive that a
// load or import reads and a save writes.
const (
	RequestFD = 3
	ReplyFD   = 4
	HelperFD  = 5 // see Registries.HelpersOutside
)

// Request is what the front wants: where, and exactly one of the verbs.
type Request struct {
	// StoreDir is storage.Store.Dir.
	StoreDir string `json:"storeDir"`
	// UserID is the caller's uid outside of our user namespace.
	UserID int `json:"userId"`

	Pull     *Pull         `json:"pull,omitempty"`
	Load     *Load         `json:"load,omitempty"`
	Import   *Import       `json:"import,omitempty"`
	Commit   *Commit       `json:"commit,omitempty"`
	Save     *Save         `json:"save,omitempty"`
	Build    *Build        `json:"build,omitempty"`
	Archive  *BuildArchive `json:"archive,omitempty"`
	Tag      *Tag          `json:"tag,omitempty"`
	Remove   *Remove       `json:"remove,omitempty"`
	Prune    *Prune        `json:"prune,omitempty"`
	Embedded *Embedded     `json:"embedded,omitempty"`
	Heal     *Heal         `json:"heal,omitempty"`
	Push     *Push         `json:"push,omitempty"`
	Check    *Check        `json:"check,omitempty"`

	// These need no store.

	Login       *Login       `json:"login,omitempty"`
	Search      *Search      `json:"search,omitempty"`
	Tags        *Tags        `json:"tags,omitempty"`
	Manifest    *Manifest    `json:"manifest,omitempty"`
	PutManifest *PutManifest `json:"putManifest,omitempty"`
	Mirrors     *Mirrors     `json:"mirrors,omitempty"`
	Download    *Download    `json:"download,omitempty"`
	Decompress  *Decompress  `json:"decompress,omitempty"`
}

// Registries is how registries are talked to.
type Registries struct {
	// DockerConfig is the directory of docker's config.json.
	DockerConfig string `json:"dockerConfig,omitempty"`
	// CertDirs have a directory with certificates for each host[:port].
	CertDirs []string `json:"certDirs,omitempty"`
	// Mirrors are asked for Docker Hub's images first: http[s]://host[:port]/.
	Mirrors []string `json:"mirrors,omitempty"`
	// Insecure are hosts, host:port and networks in CIDR notation that may speak
	// plain http, or have a certificate that nobody vouches for.
	Insecure []string `json:"insecure,omitempty"`
	Patience Patience `json:"patience"`
	// HelpersOutside says that credential helpers are run by the process on
	// HelperFD, because this one is not quite the user.
	HelpersOutside bool `json:"helpersOutside,omitempty"`
}

// Patience is how long a registry is waited for; zero means as long as a user
// would like. Tests have less. See registry.Patience.
type Patience struct {
	Header time.Duration `json:"header,omitempty"` // nanoseconds, all of them
	Stall  time.Duration `json:"stall,omitempty"`
	Pause  time.Duration `json:"pause,omitempty"`
	Total  time.Duration `json:"total,omitempty"`
}

// Pull fetches an image from a registry.
type Pull struct {
	// Reference is normalized and has a tag or a digest:
	// docker.io/library/alpine:latest. With AllTags it has neither.
	Reference string `json:"reference"`
	// AllTags fetches each image of the repository.
	AllTags bool `json:"allTags,omitempty"`
	// Platform is os[/arch[/variant]]; empty means this machine's.
	Platform string `json:"platform,omitempty"`
	// Beside leaves a name that there is with the image that has it: it stands for
	// what is pulled, too, on the other platform.
	Beside     bool       `json:"beside,omitempty"`
	Registries Registries `json:"registries"`
}

// Load takes the images out of the archive on the courier's standard input.
type Load struct {
	// Platform picks from an index; empty means this machine's.
	Platform string `json:"platform,omitempty"`
}

// Import makes an image with one layer from the tar archive on the courier's
// standard input, or from URL.
type Import struct {
	URL string `json:"url,omitempty"`
	// Reference is normalized and tagged, or empty for an untagged image.
	Reference string   `json:"reference,omitempty"`
	Message   string   `json:"message,omitempty"`
	Platform  string   `json:"platform,omitempty"`
	Changes   []string `json:"changes,omitempty"` // Dockerfile instructions
}

// Save writes images into one archive, to the file that is the courier's
// standard input.
type Save struct {
	Images []Saved `json:"images"`
}

// Saved is one image of an archive and the names that it has there, normalized
// and tagged.
type Saved struct {
	ID    string   `json:"id"` // 64 hex digits
	Names []string `json:"names,omitempty"`
	// Platforms are the IDs of all images that the names stand for, ID among them,
	// if they stand for one of each platform.
	Platforms []string `json:"platforms,omitempty"`
}

// Commit makes an image of a container: of what it changed, a layer on top of
// those of its image.
type Commit struct {
	// Container is the container's ID, Upper the directory of its writable layer.
	Container string `json:"container"`
	Upper     string `json:"upper"`
	// Image is the ID of the container's image, 64 hex digits, or empty.
	Image string `json:"image,omitempty"`
	// Layers are the container's, topmost first.
	Layers []string `json:"layers,omitempty"`
	// Process is the new image's docker configuration, Origin the container's
	// own, as JSON.
	Process json.RawMessage `json:"process"`
	Origin  json.RawMessage `json:"origin"`
	// CreatedBy is the command of the history's new line.
	CreatedBy string `json:"createdBy,omitempty"`
	Author    string `json:"author,omitempty"`
	Message   string `json:"message,omitempty"`
	// Reference is normalized and tagged, or empty for an untagged image.
	Reference string `json:"reference,omitempty"`
}

// Build makes an image of what the steps of a build left.
type Build struct {
	// Config is the image's configuration without its rootfs.
	Config  json.RawMessage `json:"config"`
	Created time.Time       `json:"created"`
	// Base are layers of the store below the new ones, topmost first; DiffIDs are
	// theirs, bottom first.
	Base    []string `json:"base,omitempty"`
	DiffIDs []string `json:"diffIds,omitempty"`
	// Layers are the new ones, bottom first.
	Layers []StepLayer `json:"layers,omitempty"`
	// Names are normalized and tagged.
	Names []string `json:"names,omitempty"`
	// Annotations are the manifest's.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// BuildArchive writes what builds made into an archive, to the file that is the
// courier's standard input, and leaves the store alone. No layer is moved.
type BuildArchive struct {
	// Images are those of the platforms of one image; the first one's names count.
	Images []Build `json:"images"`
}

// StepLayer is the writable layer that a step of a build filled.
type StepLayer struct {
	Dir string `json:"dir"`
	// Move says that nobody else uses Dir: it becomes the layer, and is gone.
	Move bool `json:"move,omitempty"`
	// DiffID is the layer's, if it is known.
	DiffID string `json:"diffId,omitempty"`
}

// BuiltLayer is what became of a StepLayer.
type BuiltLayer struct {
	DiffID string `json:"diffId"`
	ID     string `json:"id"` // in the store
}

// Tag gives the image ID the name Reference, taking it from another image if
// need be.
type Tag struct {
	ID        string `json:"id"` // 64 hex digits
	Reference string `json:"reference"`
	// Platforms are the IDs of all images that the name stands for, ID among them,
	// if it stands for one of each platform. With From it stands for what that
	// name of the image does.
	Platforms []string `json:"platforms,omitempty"`
	From      string   `json:"from,omitempty"`
}

// Remove takes names from the image and deletes it when none is left.
type Remove struct {
	ID string `json:"id"` // 64 hex digits
	// Reference is the name to remove; empty when the user gave an ID, which
	// means all names and the image.
	Reference string `json:"reference,omitempty"`
	Force     bool   `json:"force,omitempty"`
	// Users are the containers made from the image.
	Users []User `json:"users,omitempty"`
	// Member says that a name of another image stands for this one, too: it stays,
	// without a name.
	Member bool `json:"member,omitempty"`
}

// Prune removes images that no container was made from, with all their names,
// and what no image stands on.
type Prune struct {
	IDs []string `json:"ids,omitempty"` // 64 hex digits each
}

// User is a container that was made from an image.
type User struct {
	ID      string `json:"id"`
	Running bool   `json:"running,omitempty"`
}

// Embedded puts the image skiff/hello, which is part of the program, into the
// store.
type Embedded struct{}

// Heal deletes what dead transfers left, unless a transfer is alive.
type Heal struct{}

// Check looks for damage in images and layers.
type Check struct {
	// Quick leaves the contents of files alone: only that they are there and how
	// long they are is looked at.
	Quick bool `json:"quick,omitempty"`
	// Repair mends what can be mended and sets aside what cannot. The front holds
	// the images lock.
	Repair     bool       `json:"repair,omitempty"`
	Registries Registries `json:"registries"`
}

// Finding is one damage, or something that nobody owns.
type Finding struct {
	// Kind is records, image, layer, container, volume, network, secret, "build
	// cache" or leftover.
	Kind string
	// Object is the name or the short id of what is damaged.
	Object string
	// Path is absolute: the file, or the directory.
	Path string
	// Damage says what is wrong, Follows what does not work because of it.
	Damage  string
	Follows string
	// Cure says what to do about it; Mended, empty until then, what --repair did.
	Cure   string `json:",omitempty"`
	Mended string `json:",omitempty"`
}

// Checked is what a check found in how much.
type Checked struct {
	Findings []Finding `json:"findings,omitempty"`
	Images   int       `json:"images"`
	Layers   int       `json:"layers"`
	Bytes    int64     `json:"bytes"` // of the layers' tar streams that were read
}

// Push sends an image to its registry.
type Push struct {
	ID string `json:"id"` // 64 hex digits
	// Reference is normalized and has a tag.
	Reference  string     `json:"reference"`
	Platform   string     `json:"platform,omitempty"` // refuse any other
	Registries Registries `json:"registries"`
}

// Login makes sure that a registry accepts a credential.
type Login struct {
	Host          string     `json:"host"` // host[:port]
	Username      string     `json:"username,omitempty"`
	Password      string     `json:"password,omitempty"`
	IdentityToken string     `json:"identityToken,omitempty"`
	Registries    Registries `json:"registries"`
}

// Search looks for repositories.
type Search struct {
	// Host is docker.io or host[:port].
	Host       string     `json:"host"`
	Term       string     `json:"term"`
	Limit      int        `json:"limit"`
	Registries Registries `json:"registries"`
}

// Found is one repository of a search.
type Found struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Stars       int    `json:"stars,omitempty"`
	Official    bool   `json:"official,omitempty"`
	Automated   bool   `json:"automated,omitempty"`
}

// Tags lists the tags of a repository, which Reference names.
type Tags struct {
	Reference  string     `json:"reference"`
	Registries Registries `json:"registries"`
}

// Manifest fetches a manifest, and of an image's the configuration too.
type Manifest struct {
	Reference  string     `json:"reference"` // normalized, with tag or digest
	Registries Registries `json:"registries"`
}

// Fetched is a manifest.
type Fetched struct {
	MediaType string `json:"mediaType"`
	Raw       []byte `json:"raw"`
	// Config is an image's configuration; empty for an index.
	Config []byte `json:"config,omitempty"`
}

// PutManifest gives a repository a manifest.
type PutManifest struct {
	Reference string `json:"reference"` // normalized, with tag or digest
	MediaType string `json:"mediaType"`
	Raw       []byte `json:"raw"`
	// From is another repository, with its registry, that has Blobs; the repository
	// is to have them too. Empty when it is the same one.
	From       string     `json:"from,omitempty"`
	Blobs      []string   `json:"blobs,omitempty"`
	Registries Registries `json:"registries"`
}

// Download fetches a URL into the file that is the courier's standard input.
type Download struct {
	URL string `json:"url"` // http or https
	// ETag is that of what is known: if it is still the same, nothing is fetched.
	ETag string `json:"etag,omitempty"`
}

// Downloaded is what a server said of a URL.
type Downloaded struct {
	Same     bool   `json:"same,omitempty"` // as the ETag says; nothing was fetched
	ETag     string `json:"etag,omitempty"`
	Modified int64  `json:"modified,omitempty"` // Unix seconds; 0 when not said
	Digest   string `json:"digest,omitempty"`   // sha256:<hex> of what was fetched
}

// Decompress undoes the compression, xz or zstd, of what comes on the courier's
// standard input, and writes it to its standard output.
type Decompress struct{}

// Mirrors asks which mirrors of Docker Hub registries.conf(5) names.
type Mirrors struct{}

// Reply is one message of the courier.
type Reply struct {
	Event *Event `json:"event,omitempty"`
	Done  *Done  `json:"done,omitempty"`
}

// Done is the courier's last word: Failure or Result.
type Done struct {
	Failure *Failure `json:"failure,omitempty"`
	Result  Result   `json:"result"`
}

// Result says what was done; which fields are set depends on the verb.
type Result struct {
	// ID is the image's: 64 hex digits.
	ID string `json:"id,omitempty"`
	// Digest is the registry's for what was asked for: of an index, if it was
	// one.
	Digest string `json:"digest,omitempty"`
	// Layers are those of a build, bottom first.
	Layers []BuiltLayer `json:"layers,omitempty"`
	// Changed is false when a pull found everything in place.
	Changed bool `json:"changed,omitempty"`
	// Loaded are the images of a load in the archive's order.
	Loaded []Loaded `json:"loaded,omitempty"`
	// Untagged and Deleted are what a removal did, in docker's order.
	Removed []Removed `json:"removed,omitempty"`
	// Size is that of a pushed manifest.
	Size       int64       `json:"size,omitempty"`
	Downloaded *Downloaded `json:"downloaded,omitempty"`
	// Found, Names and Manifest answer questions about registries; Names are tags
	// or mirrors.
	Found    []Found  `json:"found,omitempty"`
	Names    []string `json:"names,omitempty"`
	Manifest *Fetched `json:"manifest,omitempty"`
	Checked  *Checked `json:"checked,omitempty"`
}

// Loaded is one image of an archive.
type Loaded struct {
	ID    string   `json:"id"`
	Names []string `json:"names,omitempty"` // normalized
}

// Removed is one line of a removal: exactly one field is set.
type Removed struct {
	Untagged string `json:"untagged,omitempty"` // normalized reference
	Deleted  string `json:"deleted,omitempty"`  // sha256:<hex> of an image or layer
}

// EventKind names what happened.
type EventKind string

// The events of a transfer, in the order in which a layer sees them. Size and
// Offset are bytes of the compressed layer; Size is -1 when unknown.
const (
	// Resolved: the manifest is known; Name is the image's name, Layer empty.
	Resolved EventKind = "resolved"
	// Pulled: an image of several is there; Text is its manifest's digest.
	Pulled EventKind = "pulled"
	// LayerExists: the store has it.
	LayerExists EventKind = "exists"
	// LayerQueued: it will be fetched.
	LayerQueued EventKind = "queued"
	// LayerWaiting: others are fetched first.
	LayerWaiting EventKind = "waiting"
	// LayerProgress: Offset of Size bytes have arrived.
	LayerProgress EventKind = "progress"
	// LayerArrived: all bytes have arrived; their digest is still being taken.
	LayerArrived EventKind = "arrived"
	// LayerUnpacking: Offset of Size bytes have been unpacked.
	LayerUnpacking EventKind = "unpacking"
	// LayerFetched: all bytes have arrived and their digest is right.
	LayerFetched EventKind = "fetched"
	// LayerApplied: it is in the store, all layers below it too.
	LayerApplied EventKind = "applied"
	// LayerPreparing: it is to be pushed. Layer is its diff ID for this and the
	// next four.
	LayerPreparing EventKind = "preparing"
	// LayerPushing: Offset of about Size bytes have been sent.
	LayerPushing EventKind = "pushing"
	// LayerPushed: the registry has it now.
	LayerPushed EventKind = "pushed"
	// LayerThere: the registry had it.
	LayerThere EventKind = "there"
	// LayerMounted: the registry had it in the repository Text.
	LayerMounted EventKind = "mounted"
	// Retrying: the transfer broke and goes on after Wait; Text says why.
	Retrying EventKind = "retrying"
	// Note: Text is for the user.
	Note EventKind = "note"
)

// Event is one step of progress.
type Event struct {
	Kind   EventKind     `json:"kind"`
	Layer  string        `json:"layer,omitempty"` // sha256:<hex>
	Name   string        `json:"name,omitempty"`
	Text   string        `json:"text,omitempty"`
	Offset int64         `json:"offset,omitempty"`
	Size   int64         `json:"size,omitempty"`
	Wait   time.Duration `json:"wait,omitempty"` // nanoseconds
}
