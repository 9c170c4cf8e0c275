package platform

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisConfig says where the replicas meet. An empty URL means that this process works from local state alone.
type RedisConfig struct {
	// RedisURL names one server, sentinels or a cluster; rediss instead of redis is TLS:
	//
	//	redis://[user@]host:port/database, unix://[user@]/path[?db=database]
	//	redis://[sentinels' user:password@]host:port/database?master_name=NAME[&addr=host:port...][&username=user]
	//	redis://[user@]host:port?addr=host:port[&addr=host:port...]
	RedisURL      string `env:"REDIS_URL"`
	RedisPassword Secret `env:"REDIS_PASSWORD"`
	// RedisCA, certificates in PEM, is trusted instead of the public roots.
	RedisCA string `env:"REDIS_CA"`
}

// redisTimeout bounds a connection and a command: a service has its local state to fall back on.
const redisTimeout = time.Second

// Client connects lazily: a Redis that is down now does not keep a service from starting. It returns nil when no URL is
// set. Every command is bounded by its context and by short socket timeouts; the password file is read anew at each
// connection, so that a rotation needs no restart.
func (c RedisConfig) Client() (redis.UniversalClient, error) { return c.ClientWaiting(redisTimeout) }

// ClientWaiting is Client for replies that may take as long as reply.
func (c RedisConfig) ClientWaiting(reply time.Duration) (redis.UniversalClient, error) {
	if c.RedisURL == "" {
		return nil, nil
	}
	opts, err := parseRedisURL(c.RedisURL)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) { // it quotes the URL, which may hold a password
			err = parse.Err
		}
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	if opts.TLSConfig != nil {
		opts.TLSConfig.ServerName = "" // each node goes by the name under which it is dialled
		if c.RedisCA != "" {
			opts.TLSConfig.RootCAs = x509.NewCertPool()
			if !opts.TLSConfig.RootCAs.AppendCertsFromPEM([]byte(c.RedisCA)) {
				return nil, errors.New("REDIS_CA: there is no certificate in PEM in it")
			}
		}
	}
	redis.SetLogger(redisLogger{})
	if c.RedisPassword.Value() != "" {
		user := opts.Username
		opts.CredentialsProviderContext = func(context.Context) (string, string, error) {
			return user, c.RedisPassword.Value(), nil
		}
	}
	opts.DialTimeout = redisTimeout
	opts.ReadTimeout = reply
	opts.WriteTimeout = reply
	opts.MaxRetries = 1
	opts.ContextTimeoutEnabled = true
	return redis.NewUniversalClient(opts), nil
}

func parseRedisURL(text string) (*redis.UniversalOptions, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	query := u.Query()
	for name := range query {
		if !slices.Contains([]string{"db", "master_name", "addr", "username"}, name) {
			return nil, fmt.Errorf("unknown option %q: there are db, master_name, addr and username", name)
		}
	}
	switch {
	case query.Has("master_name"):
		o, err := redis.ParseFailoverURL(text)
		if err != nil {
			return nil, err
		}
		return &redis.UniversalOptions{Addrs: o.SentinelAddrs, MasterName: o.MasterName, DB: o.DB, Username: o.Username,
			SentinelUsername: o.SentinelUsername, SentinelPassword: o.SentinelPassword, TLSConfig: o.TLSConfig}, nil
	case query.Has("addr"):
		o, err := redis.ParseClusterURL(text)
		if err != nil {
			return nil, err
		}
		return &redis.UniversalOptions{Addrs: o.Addrs, IsClusterMode: true, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig}, nil
	}
	o, err := redis.ParseURL(text)
	if err != nil {
		return nil, err
	}
	return &redis.UniversalOptions{Addrs: []string{o.Addr}, DB: o.DB, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig}, nil
}

// redisLogger brings what the Redis library says about its connections into the service's own log. It repeats itself at
// every command while Redis is down, and every command returns its error too: hence debug.
type redisLogger struct{}

func (redisLogger) Printf(ctx context.Context, format string, args ...any) {
	slog.DebugContext(ctx, "redis: "+fmt.Sprintf(format, args...))
}
