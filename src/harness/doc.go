// Package harness renders every overlay the way Argo CD does and judges what comes out, with no cluster and no network.
//
// [Load] reads a repository and renders it once: every overlay under environments/ through kustomize, with Helm 4 and in
// the variants that must not matter (Helm 3, a second time, Argo CD's flags, a new chart version). Each object is judged
// by the API server's own code (apiserver/, a program of its own): built-in kinds as they are validated on creation, custom
// resources by the definition of the operator that reads them (crds/go.mod pins which), pods by Pod Security admission. A
// kind that it does not know is a finding, so nothing is passed over. Every [Rule] then looks at
// the same [Render] and reports [Finding]s; rules never render, and never read a cluster: whether a live one has room,
// images or credentials is not the harness's business.
//
// [Overlay.Golden] is what a reviewer reads of a render, [Overlay.Reach] who may talk to whom in it. What the difference of
// two renders does to a cluster is the business of the package change.
//
// What an overlay uses but somebody else makes, such as a Secret of the platform team, it declares in its provided.yaml.
//
// testdata/good is a small repository without findings. Each file of testdata/faults breaks it in one place and states the
// exact findings that follow; a new rule comes with a file there, or the tests fail.
package harness
