// Command backup saves the tier's state to object storage, proves that it can be read, and restores it.
package main

import (
	"jupiter-dex-integration/src/backup"
	"jupiter-dex-integration/src/platform"
)

func main() {
	platform.Main("backup",
		platform.NewCommand("run", "make a backup and remove those beyond BACKUP_KEEP (default)", backup.Run),
		platform.NewCommand("verify", "prove that a backup is intact and can be decrypted", backup.Verify),
		platform.NewCommand("restore", "write a backup's objects to the namespace and its keys to Redis", backup.Restore))
}
