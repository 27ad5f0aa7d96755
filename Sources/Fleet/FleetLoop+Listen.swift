// The connection that listens: whoever appends an entry tells it to all in the same breath, with the
// position that it stands after, so that nobody who is in step has to ask for it. The reading connection
// brings it as well, up to a way there and back later, and alone says what the log has; without the
// listening one everything only takes that much longer.

internal import ObjectStore
internal import Redis

extension FleetLoop {
  private static let pingInterval: Int64 = 1_000_000_000

  /// Appends an entry and tells it: `KEYS` the log; `ARGV` its length, PoP, number, stamp, order, channel.
  static let script = """
    local after = '0-0'
    if redis.call('EXISTS', KEYS[1]) == 1 then
      local info = redis.call('XINFO', 'STREAM', KEYS[1])
      for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then after = info[i + 1] end
      end
    end
    local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*',
      'p', ARGV[2], 'n', ARGV[3], 'r', ARGV[4], 'o', ARGV[5])
    redis.call('PUBLISH', ARGV[6], table.concat(
      {after, id, ARGV[2], ARGV[3], ARGV[4], ARGV[5]}, ' '))
    return id
    """

  func listenerDid(_ event: RedisLink.Event) {
    guard case .opened(let server) = event else { return }
    heardServer = server
    lastPing = now
    listener.heard = { [unowned self] message in heard(message) }
    listener.send(["SUBSCRIBE", settings.channel], now: now) { [unowned self] reply in
      if let text = reply?.refusal { listener.giveUp(.refused(text)) }
    }
  }

  /// Says something once a second, so that a connection that is dead is noticed.
  func listen() {
    guard listener.isOpen, now &- lastPing > Self.pingInterval else { return }
    lastPing = now
    listener.send(["PING"], now: now) { _ in }
  }

  private func heard(_ message: RedisReply) {
    // A replica that is ahead of the one that is read from tells what that one does not have yet.
    guard let content = message.content, !readsReplica || heardServer == readServer else { return }
    let parts = content.split(
      separator: 0x20, maxSplits: 5, omittingEmptySubsequences: false)
    guard parts.count == 6 else { return }
    let texts = parts.prefix(5).map { String(decoding: $0, as: UTF8.self) }
    guard let after = LogPosition(texts[0]), let position = LogPosition(texts[1]),
      let pop = UInt64(texts[2], radix: 16), let number = UInt64(texts[3]),
      let stamp = UInt64(texts[4], radix: 16)
    else { return }
    let place = LogPlace(position: position, pop: pop, number: number, stamp: stamp)
    follower.told(LogEntry(place: place, order: Array(parts[5])), after: after)
  }
}
