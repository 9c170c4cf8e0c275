// Command apiserver answers what a Kubernetes API server would say to new objects, and to changed ones, with the API server's
// own code: strict decoding, defaults, validation, the schemas and expressions of custom resource definitions, and Pod Security
// admission.
//
// It reads batches from standard input, each a JSON value, and answers each with a list of verdicts, until the input ends.
// A batch is what lands in one cluster together. It must not know what the objects are for: it is the judge of what a
// cluster accepts, the harness is the judge of what makes sense.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/klog/v2"
)

// A Batch is a set of objects to create in an empty cluster, or, with Stored, to put in the place of others.
type Batch struct {
	Definitions map[string]string // file of the custom resource definition of each "Kind.group"
	Objects     []json.RawMessage
	Stored      []json.RawMessage // what is there under the name of each of Objects; empty when all are new
}

// A Verdict is the answer to one object.
type Verdict struct {
	Unknown     bool     // there is no such kind, so nothing below is known
	Namespaced  bool     // objects of this kind live in a namespace
	Refused     []Cause  // why it is not created
	Warnings    []string // what the API server says although it creates it
	PodSecurity string   // why its pods, or those of its template, are not created
	Fixed       []Cause  // why the stored object cannot become this one, without the values
}

// A Cause is one thing that the API server refuses, in its words.
type Cause struct {
	Field   string // empty when the whole object is meant
	Message string
	Known   []string `json:",omitempty"` // the fields that there are in the place of an unknown one
}

func main() {
	klog.SetOutput(io.Discard) // expressions that exceed their budget are logged as well as refused
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "apiserver:", err)
		os.Exit(1)
	}
}

func serve(in io.Reader, out io.Writer) error {
	batches, answers := json.NewDecoder(in), json.NewEncoder(out)
	server := newServer()
	for {
		var batch Batch
		if err := batches.Decode(&batch); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading a batch: %w", err)
		}
		if len(batch.Stored) > 0 && len(batch.Stored) != len(batch.Objects) {
			return fmt.Errorf("reading a batch: %d stored objects for %d new ones", len(batch.Stored), len(batch.Objects))
		}
		verdicts, err := server.judge(batch)
		if err != nil {
			return err
		}
		if err := answers.Encode(verdicts); err != nil {
			return err
		}
	}
}
