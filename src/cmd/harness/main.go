// Command harness judges the repository it is started in: `harness check [overlay…]` renders the overlays and lists
// what is wrong with them; `harness rules` lists what must hold. It exits 1 when something is wrong, 2 when it could not look.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"jupiter-dex-integration/src/harness"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	flags := flag.NewFlagSet("harness", flag.ContinueOnError)
	root := flags.String("root", ".", "the repository to judge")
	tools := flags.String("tools", "", "the repository whose build/bin and pinned schemas are used, if another")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "usage: harness check [flags] [overlay…]   render the overlays (all unless named) and list what is wrong with them\n       harness rules                      list what must hold, why, and what to do when it does not\n\n")
		flags.PrintDefaults()
	}
	if len(args) == 1 && args[0] == "rules" {
		for _, rule := range harness.Rules() {
			fmt.Printf("%s\n    why: %s\n    fix: %s\n", rule.Name, rule.Reason, rule.Fix)
		}
		return 0
	}
	if len(args) == 0 || args[0] != "check" {
		flags.SetOutput(os.Stderr)
		flags.Usage()
		return 2
	}
	if err := flags.Parse(args[1:]); err != nil {
		return 2
	}
	r, err := harness.Load(ctx, harness.Options{Root: *root, Tools: *tools, Overlays: flags.Args()})
	if err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		return 2
	}
	findings := harness.Judge(r, harness.Rules())
	if err := harness.Report(os.Stdout, r, findings); err != nil {
		fmt.Fprintln(os.Stderr, "harness:", err)
		return 2
	}
	if len(findings) > 0 {
		return 1
	}
	return 0
}
