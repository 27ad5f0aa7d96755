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
  /// Takes what was spent, be it there or not, takes back what was leased and is of no use, and leases what is
  /// wanted, as far as it is there: GCRA, as in RateLimiting/TokenBucketRate.swift. `KEYS`: the buckets;
  /// `ARGV`: a token's price, how far a bucket's time may be ahead of the clock, how far it can be (a clock
  /// that was an hour ahead must not refuse everybody for an hour), how long a lease lasts
  /// and what is said of it may be under way, all in microseconds; then for each bucket tokens spent, wanted, how many of them it must be or none, given
  /// back, and the end of their stretch. The answer, for each: tokens leased, microseconds until the bucket
  /// is full, and when that is.
  ///
  /// What is given back counts as far as its stretch has not come (RateLimiting/BudgetShare.swift). A second
  /// key of a bucket has what was given back in this time of a lease and in the one before, of which each
  /// microsecond may have moved the stretch.
  ///
  /// Times count from 2023-11-14, so that a double has 2⁻⁶ microseconds.
  static let lease = """
    local clock = redis.call('TIME')
    local now = (clock[1] - 1700000000) * 1000000 + clock[2]
    local out = {}
    local price, depth, cap = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
    local span = math.max(tonumber(ARGV[4]), 1)
    for i = 1, #KEYS do
      local spent, want, least = tonumber(ARGV[5*i]), tonumber(ARGV[5*i+1]), tonumber(ARGV[5*i+2])
      local back, last = tonumber(ARGV[5*i+3]), tonumber(ARGV[5*i+4])
      local full = tonumber(redis.call('GET', KEYS[i]) or '0')
      full = math.max(full, now)
      full = math.min(math.max(full + spent * price, now), now + cap)
      if back > 0 then
        local turn = math.floor(now / span)
        local known = redis.call('GET', KEYS[i] .. ':back') or '0 0 0'
        local at, before, since = string.match(known, '(%S+) (%S+) (%S+)')
        at, before, since = tonumber(at), tonumber(before), tonumber(since)
        if at ~= turn then
          if at == turn - 1 then before = since else before = 0 end
          since = 0
        end
        local taken = math.min(back, math.floor((last - before - since - now) / price))
        if taken > 0 then
          full = math.max(full - taken * price, now)
          redis.call('SET', KEYS[i] .. ':back', string.format('%d %.3f %.3f', turn, before,
            since + taken * price), 'PX', math.ceil(2 * span / 1000))
        end
      end
      local room = math.floor((now + depth - full) / price + 0.000001)
      local leased = math.max(0, math.min(room, want))
      if leased < least then leased = 0 end
      full = full + leased * price
      local left = math.ceil(full - now)
      redis.call('SET', KEYS[i], string.format('%.3f', full), 'PX', math.ceil(left / 1000) + 1)
      out[#out + 1] = leased
      out[#out + 1] = left
      out[#out + 1] = math.floor(full)
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
