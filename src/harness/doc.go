// Package harness renders every overlay the way Argo CD does and judges what comes out, with no cluster and no network.
//
// [New] renders a repository once: every overlay under environments/ through kustomize, with both Helms, and decodes each
// object strictly, built-in kinds into their Go types and custom resources against the schema their operator ships. A
// [Rule] then looks at the whole [Render] and reports [Finding]s. Rules never render and never read a cluster; whether a
// live cluster has room, images or credentials is not its business.
//
// What an overlay uses but somebody else makes, a Secret from the platform team for example, it declares in its
// provided.yaml; anything neither rendered nor declared there is a finding.
package harness
