package platform

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Validator is implemented by a configuration whose fields constrain one another or have bounds. Its error names the
// environment variables at fault, all of them at once (errors.Join).
type Validator interface{ Validate() error }

// Load reads a T from environ (lines NAME=value, as os.Environ gives them). Fields are tagged as caarlos0/env wants:
// `env:"NAME" envDefault:"value"`. For every known NAME the environment may instead give NAME_FILE, the path of a file
// that holds the value; a Secret field reads that file again when it changes, any other reads it once.
// The error names every variable that is wrong.
func Load[T any](environ []string) (T, error) {
	var cfg T
	vars := env.ToMap(environ)
	fields := fieldsOf(reflect.ValueOf(&cfg).Elem())
	err := resolveFiles(vars, fields)
	if e := env.ParseWithOptions(&cfg, env.Options{Environment: vars}); e != nil {
		err = errors.Join(err, nameVariables(e, fields))
	}
	if err != nil {
		return cfg, err
	}
	if v, ok := any(cfg).(Validator); ok {
		return cfg, v.Validate()
	}
	return cfg, nil
}

// Names lists the environment variables that a configuration struct reads, secrets' NAME_FILE forms included.
func Names(cfg any) []string {
	var names []string
	for _, f := range fieldsOf(reflect.Indirect(reflect.ValueOf(cfg))) {
		names = append(names, f.env)
		if f.value.Type() == reflect.TypeFor[Secret]() {
			names = append(names, f.env+"_FILE")
		}
	}
	return names
}

// Print writes the effective configuration as NAME=value lines; secrets, and passwords in URLs, are masked.
func Print(w io.Writer, cfg any) error {
	for _, f := range fieldsOf(reflect.Indirect(reflect.ValueOf(cfg))) {
		value := fmt.Sprint(f.value.Interface())
		if f.value.Kind() == reflect.Slice {
			items := make([]string, f.value.Len())
			for i := range items {
				items[i] = fmt.Sprint(f.value.Index(i).Interface())
			}
			value = strings.Join(items, ",")
		}
		if u, err := url.Parse(value); err == nil && u.User != nil {
			value = u.Redacted()
		}
		if _, err := fmt.Fprintf(w, "%s=%s\n", f.env, value); err != nil {
			return err
		}
	}
	return nil
}

type field struct {
	env, goName string
	value       reflect.Value
}

// fieldsOf walks a configuration struct, embedded and nested structs included.
func fieldsOf(v reflect.Value) []field {
	var fields []field
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		switch {
		case name != "":
			fields = append(fields, field{name, f.Name, v.Field(i)})
		case f.Type.Kind() == reflect.Struct:
			fields = append(fields, fieldsOf(v.Field(i))...)
		}
	}
	return fields
}

func resolveFiles(vars map[string]string, fields []field) error {
	var errs []error
	for _, f := range fields {
		path, ok := vars[f.env+"_FILE"]
		if !ok || path == "" {
			continue
		}
		if vars[f.env] != "" {
			errs = append(errs, fmt.Errorf("%s and %s_FILE are both set: set one", f.env, f.env))
			continue
		}
		if f.value.Type() == reflect.TypeFor[Secret]() {
			vars[f.env] = secretFilePrefix + path
			continue
		}
		value, err := readTrimmed(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s_FILE: %w", f.env, err))
		}
		vars[f.env] = value
	}
	return errors.Join(errs...)
}

// nameVariables rewrites the parser's errors, which name Go fields, to name the variables that an operator set.
func nameVariables(err error, fields []field) error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return err
	}
	var errs []error
	for _, e := range all.Errors {
		var parse env.ParseError
		if errors.As(e, &parse) {
			for _, f := range fields {
				if f.goName == parse.Name {
					e = fmt.Errorf("%s: %w", f.env, parse.Err)
				}
			}
		}
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}
