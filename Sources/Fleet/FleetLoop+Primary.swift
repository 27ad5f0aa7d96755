// Where the log is read from a replica near by: what there is to read the primary says, three times a second, on
// the connection that talks to it. A replica that lags, or has lost its primary without knowing, so never makes
// a PoP believe that it is in step; and what a loss is, is decided by the primary's log alone.

internal import EventLoop
internal import ObjectStore
internal import Redis

extension FleetLoop {
  /// Nanoseconds between questions of what the primary has.
  private static let questionInterval: Int64 = 300_000_000

  /// The primary may be another one, or have another log: what was read is looked for there.
  func talkerOpened() {
    guard readsReplica else { return }
    if isUnasked {
      ask()
    } else if reader.isOpen {
      reader.giveUp(.givenUp("the primary was away"))
    }
  }

  /// Asks the primary how far its log goes, and whether what was read last stands there.
  func askPrimary() {
    guard readsReplica, !isAskingPrimary, now &- primaryAsked >= Self.questionInterval else {
      return
    }
    switch follower.phase {
    case .cut, .rejoining: return
    case .catchingUp, .following: break
    }
    isAskingPrimary = true
    primaryAsked = now
    let (asked, epoch, history) = (now, epoch, follower.book.history)
    var isSame = false
    talker.send(["GET", settings.historyKey], now: now) { reply in
      isSame = reply?.text.flatMap { UInt64($0, radix: 16) } == history
    }
    if let last = follower.lastRead {
      let id = last.position.text
      talker.send(["XRANGE", settings.logKey, id, id], now: now) { reply in
        let found = reply?.elements.first.flatMap { Self.entry($0)?.place }
        isSame = isSame && found == last
      }
    }
    talker.send(["XINFO", "STREAM", settings.logKey], now: now) { [unowned self] reply in
      isAskingPrimary = false
      guard let reply, epoch == self.epoch else { return }
      if let text = reply.refusal, !reply.isMissingKey { return talker.giveUp(.refused(text)) }
      guard isSame else { return reader.giveUp(.givenUp("the primary has another log")) }
      let last = reply["last-generated-id"]?.text.flatMap { LogPosition($0) } ?? .start
      follower.heard(through: last, now: asked)
    }
  }
}
