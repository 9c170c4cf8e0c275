// Package backup exports the tier's state, compressed and encrypted, to object storage or a directory, proves that it can
// be read again, and restores it. What it cannot read it reports. It moves values as opaque bytes and knows nothing of
// what they mean.
package backup
