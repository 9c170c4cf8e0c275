// Command harness judges the repository it is started in. It exits 1 when something is wrong, 2 when it could not look;
// `harness diff` exits 0, 3 or 4 by how grave the change is.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"jupiter-dex-integration/src/harness"
)

const usage = `usage:
  harness check [flags] [overlay…]   render the overlays (all unless named) and list what is wrong with them
  harness diff [flags]               say what the working tree does, compared with a revision, to the clusters
  harness golden [flags]             write environments/*/golden, what a reviewer reads of the renders
  harness rules                      list what must hold, why, and what to do when it does not
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout))
}

func run(ctx context.Context, args []string, out io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	switch command, args := args[0], args[1:]; command {
	case "check":
		return check(ctx, args, out)
	case "diff":
		return diff(ctx, args, out)
	case "golden":
		return golden(ctx, args)
	case "rules":
		for _, rule := range harness.Rules() {
			fmt.Fprintf(out, "%s\n    why: %s\n    fix: %s\n", rule.Name, rule.Reason, rule.Fix)
		}
		return 0
	}
	fmt.Fprint(os.Stderr, usage)
	return 2
}

// options reads the flags that say what to render; what is left names overlays.
func options(command string, args []string) (o harness.Options, err error) {
	flags := flag.NewFlagSet("harness "+command, flag.ContinueOnError)
	flags.StringVar(&o.Root, "root", ".", "the repository to judge")
	flags.StringVar(&o.Tools, "tools", "", "the repository whose build/bin and pinned schemas are used, if another")
	err = flags.Parse(args)
	o.Overlays = flags.Args()
	return o, err
}

func check(ctx context.Context, args []string, out io.Writer) int {
	o, err := options("check", args)
	if err != nil {
		return 2
	}
	r, findings, err := judge(ctx, o)
	if err != nil {
		return failed(err)
	}
	if err := harness.Report(out, r, findings); err != nil {
		return failed(err)
	}
	if len(findings) > 0 {
		return 1
	}
	return 0
}

func golden(ctx context.Context, args []string) int {
	o, err := options("golden", args)
	if err != nil {
		return 2
	}
	o.Plain = true
	r, err := harness.Load(ctx, o)
	if err != nil {
		return failed(err)
	}
	if err := r.WriteGolden(); err != nil {
		return failed(err)
	}
	return 0
}
