package backup

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/push"
)

// announceTimeout bounds the call to the Pushgateway.
const announceTimeout = 10 * time.Second

// announce tells the Pushgateway what came of a run. Of a run that failed it keeps the last success that it knows.
func announce(ctx context.Context, cfg RunConfig, m manifest, took time.Duration, failed error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceTimeout) // also of a run that ran out of time
	defer cancel()
	registry := prometheus.NewRegistry()
	gauge := func(name, help string, value float64) {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		g.Set(value)
		registry.MustRegister(g)
	}
	gauge("jupiter_backup_last_run_timestamp_seconds", "When the last run ended, Unix seconds.", float64(time.Now().Unix()))
	gauge("jupiter_backup_duration_seconds", "How long the last run took.", took.Seconds())
	gauge("jupiter_backup_unread", "Objects and keys that the last run could not read.", float64(m.Unread))
	if failed == nil {
		gauge("jupiter_backup_last_success_timestamp_seconds", "When the last complete backup was made, Unix seconds.", float64(m.CreatedAt.Unix()))
		gauge("jupiter_backup_archive_bytes", "Size of the last complete backup.", float64(m.Archive.Bytes))
		records := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "jupiter_backup_records",
			Help: "What the last complete backup holds, by kind."}, []string{"kind"})
		for kind, held := range m.Contents {
			records.WithLabelValues(kind).Set(float64(held.Records))
		}
		registry.MustRegister(records)
	}
	pusher := push.New(cfg.PushgatewayURL, "jupiter-backup").Gatherer(registry)
	if cfg.Namespace != "" {
		pusher.Grouping("namespace", cfg.Namespace)
	}
	if err := pusher.AddContext(ctx); err != nil {
		return fmt.Errorf("telling the Pushgateway: %w", err)
	}
	return nil
}
