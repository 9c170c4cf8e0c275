package ratelimit

import (
	"time"

	"github.com/ulule/limiter/v3"
)

// gcra is the generic cell rate algorithm (ITU-T I.371, virtual scheduling): a key's whole state is its theoretical arrival
// time, which each admission moves on by one interval; it may be ahead of now by at most burst intervals. In any window of
// length T it admits at most burst + T/interval.
type gcra struct {
	interval time.Duration // between two admissions of the sustained rate, in whole microseconds, rounded up: never too many
	burst    int64
}

func newGCRA(rate limiter.Rate, burst int64) gcra {
	interval := (rate.Period + time.Duration(rate.Limit) - 1) / time.Duration(rate.Limit)
	interval = (interval + time.Microsecond - 1).Truncate(time.Microsecond)
	return gcra{interval: max(interval, time.Microsecond), burst: max(burst, 1)}
}

// share is the part of g that one of n replicas may admit by itself.
func (g gcra) share(n int64) gcra {
	return gcra{interval: g.interval * time.Duration(n), burst: max(g.burst/n, 1)}
}

// decision is what came of asking for admissions.
type decision struct {
	granted   int64
	available int64         // left after the grant
	wait      time.Duration // until what was asked for is available; 0 if it was granted
}

// take asks for least to most admissions at now, for a key whose theoretical arrival time is tat, and returns the new one.
// It grants no more than a quarter of what is available unless least is more: what one replica holds, others lack. A
// refusal changes nothing. The script below says the same to Redis.
func (g gcra) take(tat, now time.Time, least, most int64) (time.Time, decision) {
	horizon := now.Add(time.Duration(g.burst) * g.interval)
	if tat.Before(now) {
		tat = now
	} else if tat.After(horizon) { // the clock was set back
		tat = horizon
	}
	available := int64(horizon.Sub(tat) / g.interval)
	if available < least {
		return tat, decision{available: available, wait: tat.Add(time.Duration(least) * g.interval).Sub(horizon)}
	}
	granted := min(most, max(least, available/4))
	return tat.Add(time.Duration(granted) * g.interval), decision{granted: granted, available: available - granted}
}

// spend moves tat on for count admissions that somebody else granted, at most to where nothing is left.
func (g gcra) spend(tat, now time.Time, count int64) time.Time {
	if tat.Before(now) {
		tat = now
	}
	tat = tat.Add(time.Duration(count) * g.interval)
	if horizon := now.Add(time.Duration(g.burst) * g.interval); tat.After(horizon) {
		return horizon
	}
	return tat
}

// takeScript is take with Redis's clock, the only one that all replicas share. Times are in microseconds, which a Lua
// number holds exactly. Keys: the arrival time, and the moment until which nothing is granted. Arguments: interval, burst,
// least, most. Result: granted, available, wait.
const takeScript = `
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local hold = tonumber(redis.call('GET', KEYS[2]) or 0)
if hold > now then
  return {0, 0, hold - now}
end
local interval, burst, least, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local horizon = now + burst * interval
local tat = math.min(math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now), horizon)
local available = math.floor((horizon - tat) / interval)
if available < least then
  return {0, available, tat + least * interval - horizon}
end
local granted = math.min(most, math.max(least, math.floor(available / 4)))
if granted > 0 then
  tat = tat + granted * interval
  redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000) + 1)
end
return {granted, available - granted, 0}
`

// holdScript makes KEYS[1] the moment ARGV[1] microseconds from now, unless it is later already.
const holdScript = `
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local hold = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now + ARGV[1])
redis.call('SET', KEYS[1], string.format('%.0f', hold), 'PX', math.ceil((hold - now) / 1000) + 1)
`
