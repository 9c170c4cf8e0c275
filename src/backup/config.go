package backup

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"jupiter-dex-integration/src/platform"
)

// StorageConfig says where backups are.
type StorageConfig struct {
	// Destination is s3://BUCKET/PREFIX or file:///DIRECTORY.
	Destination string `env:"BACKUP_DESTINATION"`
	S3Endpoint  string `env:"BACKUP_S3_ENDPOINT" envDefault:"https://s3.amazonaws.com"`
	S3Region    string `env:"BACKUP_S3_REGION"`
	// S3AccessKey and S3SecretKey may be empty: then the pod's own cloud identity is used.
	S3AccessKey platform.Secret `env:"BACKUP_S3_ACCESS_KEY"`
	S3SecretKey platform.Secret `env:"BACKUP_S3_SECRET_KEY"`
	// Timeout bounds the whole command.
	Timeout time.Duration `env:"BACKUP_TIMEOUT" envDefault:"15m"`
}

func (c StorageConfig) validate() []error {
	var errs []error
	if c.Destination == "" {
		errs = append(errs, errors.New("BACKUP_DESTINATION is empty: set it to s3://BUCKET/PREFIX or file:///DIRECTORY"))
	}
	if (c.S3AccessKey.Value() == "") != (c.S3SecretKey.Value() == "") {
		errs = append(errs, errors.New("BACKUP_S3_ACCESS_KEY and BACKUP_S3_SECRET_KEY: set both, or neither to use the pod's cloud identity"))
	}
	if c.Timeout <= 0 {
		errs = append(errs, errors.New("BACKUP_TIMEOUT must be positive"))
	}
	return errs
}

// RunConfig is the configuration of `backup run`.
type RunConfig struct {
	platform.RedisConfig
	StorageConfig
	ClusterConfig
	// Prefixes are those of the Redis keys that are exported.
	Prefixes []string `env:"BACKUP_REDIS_PREFIXES" envDefault:"oracle:"`
	// Recipients are age public keys; whoever has the identity of one can read the backup.
	Recipients []string `env:"BACKUP_AGE_RECIPIENT"`
	// SigningKey, if set, is a base64 Ed25519 seed of 32 bytes with which the manifest is signed.
	SigningKey platform.Secret `env:"BACKUP_SIGNING_KEY"`
	// Keep is how many complete backups stay; older ones are removed after each complete backup.
	Keep int `env:"BACKUP_KEEP" envDefault:"28"`
	// PushgatewayURL, if set, is told what came of the run: a job ends before Prometheus would scrape it.
	PushgatewayURL string `env:"BACKUP_PUSHGATEWAY_URL"`
}

// Validate checks every variable and names all that are wrong.
func (c RunConfig) Validate() error {
	errs := c.StorageConfig.validate()
	if c.RedisURL == "" {
		errs = append(errs, errors.New("REDIS_URL is empty: there is nothing to back up"))
	}
	if len(c.Prefixes) == 0 {
		errs = append(errs, errors.New("BACKUP_REDIS_PREFIXES is empty: list the key prefixes to export"))
	}
	if _, err := c.recipients(); err != nil {
		errs = append(errs, err)
	}
	if _, err := c.signingKey(); err != nil {
		errs = append(errs, err)
	}
	if c.Keep < 1 {
		errs = append(errs, errors.New("BACKUP_KEEP must be at least 1"))
	}
	errs = append(errs, c.ClusterConfig.validate()...)
	if len(c.Objects) > 0 && c.Namespace == "" {
		errs = append(errs, errors.New("BACKUP_NAMESPACE is empty: set it to the namespace of the objects in BACKUP_OBJECTS"))
	}
	return errors.Join(errs...)
}

func (c RunConfig) recipients() ([]age.Recipient, error) {
	if len(c.Recipients) == 0 {
		return nil, errors.New("BACKUP_AGE_RECIPIENT is empty: set it to an age public key (age1...), made with age-keygen")
	}
	recipients, err := age.ParseRecipients(strings.NewReader(strings.Join(c.Recipients, "\n")))
	if err != nil {
		return nil, fmt.Errorf("BACKUP_AGE_RECIPIENT: %w", err)
	}
	return recipients, nil
}

func (c RunConfig) signingKey() (ed25519.PrivateKey, error) {
	if c.SigningKey.Value() == "" {
		return nil, nil
	}
	seed, err := base64.StdEncoding.DecodeString(c.SigningKey.Value())
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, errors.New("BACKUP_SIGNING_KEY is not the base64 of 32 bytes")
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// verifyKeyOf is the public key as BACKUP_VERIFY_KEY wants it, "" without a key.
func verifyKeyOf(key ed25519.PrivateKey) string {
	if key == nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
}

// VerifyConfig is the configuration of `backup verify`.
type VerifyConfig struct {
	StorageConfig
	// Name chooses a backup; empty means the latest complete one.
	Name string `env:"BACKUP_NAME"`
	// Identity is the age secret key (AGE-SECRET-KEY-1...) of a recipient.
	Identity platform.Secret `env:"BACKUP_AGE_IDENTITY"`
	// VerifyKey, if set, is the base64 Ed25519 public key that must have signed the manifest.
	VerifyKey string `env:"BACKUP_VERIFY_KEY"`
}

// Validate checks every variable and names all that are wrong.
func (c VerifyConfig) Validate() error {
	errs := c.validate()
	if c.Name != "" && !namePattern.MatchString(c.Name) {
		errs = append(errs, fmt.Errorf("BACKUP_NAME: %q is not the name of a backup, such as 20260102T150405Z", c.Name))
	}
	if _, err := c.identities(); err != nil {
		errs = append(errs, err)
	}
	if _, err := c.verifyKey(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c VerifyConfig) identities() ([]age.Identity, error) {
	if c.Identity.Value() == "" {
		return nil, errors.New("BACKUP_AGE_IDENTITY is empty: without the age secret key nothing can be decrypted")
	}
	identities, err := age.ParseIdentities(strings.NewReader(c.Identity.Value()))
	if err != nil {
		// The parser's error quotes its input, which is a secret.
		return nil, errors.New("BACKUP_AGE_IDENTITY is not an age secret key (AGE-SECRET-KEY-1...)")
	}
	return identities, nil
}

func (c VerifyConfig) verifyKey() (ed25519.PublicKey, error) {
	if c.VerifyKey == "" {
		return nil, nil
	}
	key, err := base64.StdEncoding.DecodeString(c.VerifyKey)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, errors.New("BACKUP_VERIFY_KEY is not the base64 of 32 bytes")
	}
	return key, nil
}

// RestoreConfig is the configuration of `backup restore`.
type RestoreConfig struct {
	platform.RedisConfig
	VerifyConfig
	ClusterConfig
	// Kinds of state that are restored, of those that the backup holds.
	Kinds []string `env:"BACKUP_RESTORE_KINDS" envDefault:"configmaps,secrets,redis"`
	// Replace overwrites objects and keys that exist. Without it they stay as they are and the restore fails, naming those
	// that differ.
	Replace bool `env:"BACKUP_RESTORE_REPLACE" envDefault:"false"`
}

// Validate checks every variable and names all that are wrong.
func (c RestoreConfig) Validate() error {
	errs := append(c.ClusterConfig.validate(), c.VerifyConfig.Validate())
	for _, kind := range c.Kinds {
		if !slices.Contains(kinds, kind) {
			errs = append(errs, fmt.Errorf("BACKUP_RESTORE_KINDS: there is no kind %q, only %s", kind, strings.Join(kinds, ", ")))
		}
	}
	if c.RedisURL == "" && slices.Contains(c.Kinds, kindRedis) {
		errs = append(errs, errors.New("REDIS_URL is empty: set it, or leave redis out of BACKUP_RESTORE_KINDS"))
	}
	return errors.Join(errs...)
}
