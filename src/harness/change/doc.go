// Package change says what the difference between two renders of the repository does to the clusters: which pods restart
// and why, what scales, who may talk to whom, which configuration, alerts, images and permissions change, and what Argo CD
// does with each object.
//
// [Between] is a pure function of two renders: it reads no file, no Git and no cluster. [Markdown] writes its report for a
// pull request. The values of Secrets, of configuration keys and of environment variables never get as far as the report:
// they are compared as a type that does not print.
package change
