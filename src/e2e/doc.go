// Package e2e tries the tier on a real cluster: what only a kubelet, a scheduler, a network plugin and Argo CD can show. See
// docs/e2e.md. The tests know a kubeconfig, a registry and a Git server, all given by the environment, and nothing of who
// provides them; each brings what it needs and leaves nothing behind. Figures go into the log.
//
// They are built with the tag e2e only: a kubeconfig that happens to be there must never be enough to start them.
package e2e
