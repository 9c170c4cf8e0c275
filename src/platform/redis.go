package platform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
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
		var parse *url.Error
		if errors.As(err, &parse) { // it quotes the URL, which may hold a password
			err = parse.Err
		}
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	redis.SetLogger(redisLogger{})
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

// redisLogger brings what the Redis library says about its connections into the service's own log. It repeats itself at
// every command while Redis is down, and every command returns its error too: hence debug.
type redisLogger struct{}

func (redisLogger) Printf(ctx context.Context, format string, args ...any) {
	slog.DebugContext(ctx, "redis: "+fmt.Sprintf(format, args...))
}
