package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"jupiter-dex-integration/src/harness"
	"jupiter-dex-integration/src/harness/change"
)

// exitCodes tell a script how grave the change is. 1 is left to those who run the command, such as go run and make.
var exitCodes = map[change.Severity]int{change.None: 0, change.Notice: 0, change.Warning: 3, change.Danger: 4}

// patience bounds a comparison: a template may loop for ever, and neither kustomize nor Helm can be told to stop.
const patience = 5 * time.Minute

// diff compares the working tree with a revision and reports on it.
func diff(ctx context.Context, args []string, out io.Writer) int {
	flags := flag.NewFlagSet("harness diff", flag.ContinueOnError)
	root := flags.String("root", ".", "the repository, whose working tree is compared")
	tools := flags.String("tools", "", "the repository whose build/bin and pinned schemas are used, if another: give a trusted one for a stranger's change")
	base := flags.String("base", "HEAD", "the revision to compare with")
	asJSON := flags.String("json", "", "a file to write the whole report to, as JSON")
	limit := flags.Int("limit", 0, fmt.Sprintf("the most bytes of Markdown to write, 0 for all; a comment on GitHub takes %d", change.CommentLimit))
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 {
		return failed(fmt.Errorf("%q is one argument too many", flags.Arg(0)))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("rendering took longer than %s: a template may never end", patience))
	defer cancel()
	var report *change.Report
	done := make(chan error, 1)
	go func() {
		var err error
		report, err = compare(ctx, *root, cmp.Or(*tools, *root), *base)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return failed(err)
		}
	case <-ctx.Done():
		return failed(context.Cause(ctx))
	}
	if *limit <= 0 {
		*limit = math.MaxInt
	}
	if _, err := io.WriteString(out, change.Markdown(report, *limit)); err != nil {
		return failed(err)
	}
	if *asJSON != "" {
		data, err := json.MarshalIndent(report, "", "  ")
		if err == nil {
			err = os.WriteFile(*asJSON, append(data, '\n'), 0o644)
		}
		if err != nil {
			return failed(err)
		}
	}
	return exitCodes[report.Severity]
}

// compare renders the working tree in full and the base plainly, at the same time.
func compare(ctx context.Context, root, tools, revision string) (*change.Report, error) {
	commit, err := git(ctx, root, "rev-parse", "--verify", "--quiet", "--end-of-options", revision+"^{commit}")
	if err != nil {
		return nil, fmt.Errorf("there is no revision %q: fetch it first (%w)", revision, err)
	}
	hash := strings.TrimSpace(string(commit))
	before, err := os.MkdirTemp("", "harness-base-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(before)
	if err := checkout(ctx, root, hash, before); err != nil {
		return nil, fmt.Errorf("reading %s: %w", revision, err)
	}

	var base, head *harness.Render
	facts := change.Facts{Base: hash, Had: history(ctx, root, hash)}
	var both errgroup.Group
	both.Go(func() (err error) {
		base, facts.Before, err = judge(ctx, harness.Options{Root: before, Tools: tools, Plain: true})
		return err
	})
	both.Go(func() (err error) {
		head, facts.After, err = judge(ctx, harness.Options{Root: root, Tools: tools})
		return err
	})
	if err := both.Wait(); err != nil {
		return nil, err
	}
	// A plain render shows most faults, not all: what the head shows is new only if the whole judgement of the base lacks it.
	if len(facts.After) > 0 {
		if base, facts.Before, err = judge(ctx, harness.Options{Root: before, Tools: tools}); err != nil {
			return nil, err
		}
	}
	if err := harness.JudgeUpdate(ctx, tools, base, head); err != nil {
		return nil, err
	}
	return change.Between(base, head, facts), nil
}

func judge(ctx context.Context, options harness.Options) (*harness.Render, []harness.Finding, error) {
	r, err := harness.Load(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	return r, harness.Judge(r, harness.Rules()), nil
}

func git(ctx context.Context, root string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...)
	cmd.Stderr = new(strings.Builder)
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(fmt.Sprint(cmd.Stderr)))
	}
	return output, nil
}

// checkout writes a commit's files to a folder. Nothing of it leaves the folder, whatever the commit holds.
func checkout(ctx context.Context, root, commit, to string) error {
	archive, err := git(ctx, root, "archive", "--format=tar", commit)
	if err != nil {
		return err
	}
	folder, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer folder.Close()
	reader := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean(header.Name)
		switch header.Typeflag {
		case tar.TypeDir:
			err = folder.MkdirAll(name, 0o755)
		case tar.TypeSymlink: // kept, so that the harness refuses to render it
			err = folder.Symlink(header.Linkname, name)
		case tar.TypeReg:
			var data []byte
			if data, err = io.ReadAll(reader); err == nil {
				err = folder.WriteFile(name, data, 0o644)
			}
		}
		if err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// history asks Git whether a network's overlay ever named an image.
func history(ctx context.Context, root, commit string) func(network, digest string) bool {
	return func(network, digest string) bool {
		if !digestForm.MatchString(digest) || network != filepath.Base(network) {
			return false
		}
		found, err := git(ctx, root, "log", "-1", "--format=%H", "-S"+digest, commit, "--", "environments/"+network)
		return err == nil && len(found) > 0
	}
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, "harness:", err)
	return 2
}
