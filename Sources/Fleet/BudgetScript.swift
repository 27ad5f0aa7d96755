// What the engine does for limits that a region shares. Two scripts, both on the engine's own clock.

extension FleetSettings {
  /// The bucket of a key of a limit: a time, in microseconds since `BudgetScript.epoch`.
  func budgetKey(_ limit: String, _ key: String) -> String {
    "weir:{\(fleet)}:budget:\(region):\(limit):\(key)"
  }

  /// Which PoPs of the region share limits, and how much each is asked for.
  var sharesKey: String { "weir:{\(fleet)}:shares:\(region)" }
}

enum BudgetScript {
  /// Takes what was spent, be it there or not, and leases what is wanted, as far as it is there: GCRA, as in
  /// RateLimiting/TokenBucketRate.swift. `KEYS`: the buckets; `ARGV`, for each: a token's price, how far
  /// the bucket's time may be ahead of the clock, how far it can be (a clock that was an hour ahead must
  /// not refuse everybody for an hour), all in microseconds; tokens spent, wanted, and how many of them it
  /// must be or none. The answer, for each: tokens leased, and microseconds until the bucket is full.
  ///
  /// Times count from 2023-11-14, so that a double has 2⁻⁶ microseconds.
  static let lease = """
    local clock = redis.call('TIME')
    local now = (clock[1] - 1700000000) * 1000000 + clock[2]
    local out = {}
    for i = 1, #KEYS do
      local price, depth, cap = tonumber(ARGV[6*i-5]), tonumber(ARGV[6*i-4]), tonumber(ARGV[6*i-3])
      local spent, want, least = tonumber(ARGV[6*i-2]), tonumber(ARGV[6*i-1]), tonumber(ARGV[6*i])
      local full = tonumber(redis.call('GET', KEYS[i]) or '0')
      full = math.max(full, now)
      full = math.min(math.max(full + spent * price, now), now + cap)
      local room = math.floor((now + depth - full) / price + 0.000001)
      local leased = math.max(0, math.min(room, want))
      if leased < least then leased = 0 end
      full = full + leased * price
      local left = math.ceil(full - now)
      redis.call('SET', KEYS[i], string.format('%.3f', full), 'PX', math.ceil(left / 1000) + 1)
      out[#out + 1] = leased
      out[#out + 1] = left
    end
    return out
    """

  /// Says how much this PoP is asked for, and answers what all say: `KEYS` the region's shares; `ARGV` the
  /// PoP and its words. Who has said nothing for ten seconds is forgotten.
  static let standing = """
    local clock = redis.call('TIME')
    local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
    redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[2])
    local all = redis.call('HGETALL', KEYS[1])
    local out = {}
    for i = 1, #all, 2 do
      local seen = tonumber(string.match(all[i + 1], '^%d+') or '0')
      if math.abs(now - seen) < 10000 then
        out[#out + 1] = all[i]
        out[#out + 1] = all[i + 1]
      else
        redis.call('HDEL', KEYS[1], all[i])
      end
    end
    return out
    """
}
