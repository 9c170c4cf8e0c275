// Package backup exports the tier's state, the release's ConfigMaps and Secrets and what is in Redis, compressed and
// encrypted, to object storage or a directory, proves that it can be read again, and restores it. What it cannot read it
// reports. It moves values as they are and knows nothing of what they mean.
package backup
