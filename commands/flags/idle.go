package flags

import "github.com/urfave/cli/v2"

// Idle reports whether a flag that nobody names is the zero value of its type, which is
// what the library says of a flag that it does not know: who leaves it out saves the
// library's looking at it. Anything unusual about a flag makes it not idle.
func Idle(f cli.Flag) bool {
	switch f := f.(type) {
	case *cli.BoolFlag:
		return !f.Value && !f.Required && f.EnvVars == nil && f.Destination == nil && f.Action == nil
	case *cli.StringFlag:
		return f.Value == "" && !f.Required && f.EnvVars == nil && f.Destination == nil && f.Action == nil
	case *cli.StringSliceFlag:
		return f.Value == nil && !f.Required && f.EnvVars == nil && f.Destination == nil && f.Action == nil
	case *cli.IntFlag:
		return f.Value == 0 && !f.Required && f.EnvVars == nil && f.Destination == nil && f.Action == nil
	case *cli.Int64Flag:
		return f.Value == 0 && !f.Required && f.EnvVars == nil && f.Destination == nil && f.Action == nil
	case *cli.UintFlag:
		return f.Value == 0 && !f.Required && f.EnvVars == nil && f.Destination == nil && f.Action == nil
	case *cli.DurationFlag:
		return f.Value == 0 && !f.Required && f.EnvVars == nil && f.Destination == nil && f.Action == nil
	}
	return false
}

// Names are f.Names(), for the usual flags without the library's detour by a regular
// expression: ours have no commas and blanks in their names.
func Names(f cli.Flag) []string {
	var name string
	var aliases []string
	switch f := f.(type) {
	case *cli.BoolFlag:
		name, aliases = f.Name, f.Aliases
	case *cli.StringFlag:
		name, aliases = f.Name, f.Aliases
	case *cli.StringSliceFlag:
		name, aliases = f.Name, f.Aliases
	case *cli.IntFlag:
		name, aliases = f.Name, f.Aliases
	case *cli.Int64Flag:
		name, aliases = f.Name, f.Aliases
	case *cli.UintFlag:
		name, aliases = f.Name, f.Aliases
	case *cli.DurationFlag:
		name, aliases = f.Name, f.Aliases
	default:
		return f.Names()
	}
	if len(aliases) == 0 {
		return []string{name}
	}
	return append([]string{name}, aliases...)
}

// Needed are those of all flags that a line of these words wants: those that it may
// name, and those that are something when they are not named.
func Needed(all []cli.Flag, words []string) (needed []cli.Flag) {
	named := map[string]bool{}
	for _, word := range words {
		switch {
		case len(word) > 2 && word[:2] == "--":
			word = word[2:]
		case len(word) > 1 && word[0] == '-':
			word = word[1:]
			for _, short := range word { // several may stand behind one dash
				named[string(short)] = true
			}
		default:
			continue
		}
		for i := range word {
			if word[i] == '=' {
				word = word[:i]
				break
			}
		}
		named[word] = true
	}
	for _, f := range all {
		wanted := !Idle(f)
		for _, name := range Names(f) {
			wanted = wanted || named[name]
		}
		if wanted {
			needed = append(needed, f)
		}
	}
	return needed
}
