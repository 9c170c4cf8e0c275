package platform

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisConfig says where the replicas meet. An empty URL means that this process works from local state alone.
type RedisConfig struct {
	RedisURL      string `env:"REDIS_URL"`
	RedisPassword Secret `env:"REDIS_PASSWORD"`
}

// Client connects lazily: a Redis that is down now does not keep a service from starting. It returns nil when no URL is
// set. Every command is bounded by its context and by short socket timeouts; the password file is read anew at each
// connection, so that a rotation needs no restart.
func (c RedisConfig) Client() (*redis.Client, error) {
	if c.RedisURL == "" {
		return nil, nil
	}
	opts, err := redis.ParseURL(c.RedisURL)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	if c.RedisPassword.Value() != "" {
		user := opts.Username
		opts.CredentialsProviderContext = func(context.Context) (string, string, error) {
			return user, c.RedisPassword.Value(), nil
		}
	}
	opts.DialTimeout = time.Second
	opts.ReadTimeout = time.Second
	opts.WriteTimeout = time.Second
	opts.MaxRetries = 1
	opts.ContextTimeoutEnabled = true
	return redis.NewClient(opts), nil
}
