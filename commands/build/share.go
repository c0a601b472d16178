package build

import (
	"context"
	"encoding/csv"
	"path/filepath"
	"strconv"
	"strings"

	"skiff/build"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/storage"
	"skiff/storage/courier/client"
	"skiff/storage/courier/configuration"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// parseCaches reads --cache-from, or --cache-to if to is set.
func (o *options) parseCaches(flag string, list []string, to bool) ([]build.CacheRef, error) {
	var out []build.CacheRef
	for _, text := range list {
		fields, err := csv.NewReader(strings.NewReader(text)).Read()
		if err != nil {
			return nil, failure.Local("invalid value %q for --%s: %v", text, flag, err)
		}
		if len(fields) == 1 && !strings.Contains(fields[0], "=") {
			fields = []string{"type=registry", "ref=" + fields[0]}
		}
		var c build.CacheRef
		for _, f := range fields {
			if err := o.cacheField(flag, &c, f, to); err != nil {
				return nil, err
			}
		}
		switch {
		case c.Kind == "registry" && c.Reference == "":
			return nil, failure.Local("--%s type=registry needs ref=", flag)
		case c.Kind == "local" && c.Dir == "":
			return nil, failure.Local("--%s type=local needs %s=", flag, map[bool]string{true: "dest", false: "src"}[to])
		case c.Kind == "inline" && !to:
			return nil, failure.Local("--%s: an inline cache is that of an image: use type=registry,ref=IMAGE", flag)
		case c.Kind == "":
			return nil, failure.Local("type required form> %q", text)
		}
		out = append(out, c)
	}
	return out, nil
}

func (o *options) cacheField(flag string, c *build.CacheRef, field string, to bool) (err error) {
	key, value, ok := strings.Cut(field, "=")
	if !ok {
		return failure.Local("invalid value %s", field)
	}
	switch key = strings.ToLower(key); {
	case key == "type":
		switch value {
		case "registry", "local", "inline":
			c.Kind = value
		default:
			return failure.Local("--%s type=%s is not supported: registry, local and inline are", flag, value)
		}
	case key == "ref":
		ref, err := image.ParseReference(value)
		if err != nil {
			return failure.Local("invalid reference %q for --%s: %v", value, flag, err)
		}
		c.Reference = ref.WithDefaultTag().String()
	case key == "dest" && to, key == "src" && !to:
		c.Dir, err = filepath.Abs(value)
	case key == "mode" && to:
		if value != "min" && value != "max" {
			return failure.Local("invalid mode %q for --%s: min or max", value, flag)
		}
		c.Max = value == "max"
	case key == "ignore-error" && to:
		c.Lenient, err = strconv.ParseBool(value)
	default:
		o.Warnings = append(o.Warnings, "--"+flag+" "+key+" has no effect")
	}
	return err
}

// remote is how the engine reaches registries.
func remote(e *env.Env, st *storage.Store) build.Remote {
	return build.Remote{
		Pull: func(ctx context.Context, reference string) error {
			registries, err := configuration.Read(e.Getenv)
			if err == nil {
				_, err = client.Pull(ctx, st, message.Pull{Reference: reference, Registries: registries}, nil)
			}
			return err
		},
		Push: func(ctx context.Context, id, reference string) error {
			registries, err := configuration.Read(e.Getenv)
			if err == nil {
				_, err = client.Push(ctx, st, message.Push{ID: id, Reference: reference, Registries: registries}, nil)
			}
			return err
		},
		Manifest: func(ctx context.Context, reference string) (*message.Fetched, error) {
			registries, err := configuration.Read(e.Getenv)
			if err != nil {
				return nil, err
			}
			return client.Manifest(ctx, message.Manifest{Reference: reference, Registries: registries})
		},
	}
}
