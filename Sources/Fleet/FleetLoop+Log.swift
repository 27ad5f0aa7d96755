// The connection that reads: what the engine has, then entry after entry.

internal import Bytes
internal import EventLoop
internal import ObjectStore
internal import Redis

extension FleetLoop {
  /// Entries of one read.
  private static let portion = 500
  /// Milliseconds that a read waits for news.
  private static let block = 300
  /// Nanoseconds between a read's answer and the next one, as long as news are told by the listening
  /// connection: with an engine nearby each of them would be a question, an answer and a question otherwise.
  private static let readInterval: Int64 = 20_000_000
  /// Purges on their way to the disk at most.
  private static let underWayLimit = 4_096

  func readerDid(_ event: RedisLink.Event) {
    switch event {
    case .opened(let server):
      status.server = server.text
      readServer = server
      status.connections &+= 1
      epoch += 1
      isUnasked = readsReplica && !talker.isOpen
      if !isUnasked { ask() }
    case .closed(let server, let failure):
      status.server = nil
      isReading = false
      isUnasked = false
      report = nil
      follower.disconnected()
      client.progress.cut()
      failed(server, failure)
    }
  }

  // MARK: What there is

  /// Asks the primary what the log is, and whether what was read last stands where it stood.
  func ask() {
    isUnasked = false
    let link = readsReplica ? talker : reader
    let (probes, asked, epoch) = (follower.probes, now, epoch)
    let own = String(max(Random.hash128().low, 1), radix: 16)
    link.send(["SET", settings.historyKey, own, "NX", "GET"], now: now) { [unowned self] reply in
      guard let reply, epoch == self.epoch, isWelcome(reply, link) else { return }
      let text = reply.text ?? own
      guard let history = UInt64(text, radix: 16), history != 0 else {
        return link.giveUp(.givenUp("\(settings.historyKey) is not a log's name"))
      }
      report = LogReport(history: history)
    }
    link.send(["XINFO", "STREAM", settings.logKey], now: now) { [unowned self] reply in
      guard let reply, epoch == self.epoch else { return }
      if reply.isMissingKey { return }
      guard isWelcome(reply, link) else { return }
      report?.length = UInt64(clamping: reply["length"]?.number ?? 0)
      report?.added = UInt64(clamping: reply["entries-added"]?.number ?? 0)
      report?.last = reply["last-generated-id"]?.text.flatMap { LogPosition($0) } ?? .start
      report?.first = reply["first-entry"].flatMap { Self.entry($0)?.place.position }
      report?.lastEntry = reply["last-entry"].flatMap { Self.entry($0)?.place }
    }
    for probe in probes {
      let id = probe.position.text
      link.send(["XRANGE", settings.logKey, id, id], now: now) { [unowned self] reply in
        guard let reply, epoch == self.epoch, isWelcome(reply, link) else { return }
        if let place = reply.elements.first.flatMap({ Self.entry($0)?.place }) {
          report?.found.insert(place)
        }
      }
    }
    link.send(["PING"], now: now) { [unowned self] reply in
      guard reply != nil, epoch == self.epoch, let report else { return }
      begin(report, asked)
    }
  }

  /// Whether a reply is none that ends the connection.
  private func isWelcome(_ reply: RedisReply, _ link: RedisLink) -> Bool {
    guard let text = reply.refusal else { return true }
    link.giveUp(.refused(text))
    return false
  }

  private func begin(_ report: LogReport, _ asked: Int64) {
    let isStoreEmpty = store.statistics.objects == 0
    let rejoining = follower.connected(report, isStoreEmpty: isStoreEmpty, now: asked)
    guard let rejoining else {
      // What stands no more, or may not, is appended again.
      store.forgetFleetPlaces(after: follower.readThrough)
      client.progress.follow(follower.book.history, through: follower.readThrough)
      sendAgain()
      return
    }
    status.losses[rejoining.loss.rawValue, default: 0] += 1
    note(Self.text(of: rejoining))
    let order = PurgeOrder(
      .everything, isSoft: rejoining.isSoft, time: NodeTime.wall, who: "fleet",
      what: "\"fleet: \(rejoining.loss.rawValue)\"", fleet: rejoining.mark)
    let epoch = epoch
    let inbox = client.inbox
    store.purge(order) { outcome in
      if case .failure(let failure) = outcome {
        inbox.post(.rejoined(epoch: epoch, failure))
      } else {
        inbox.post(.rejoined(epoch: epoch, nil))
      }
    }
  }

  private static func text(of rejoining: Rejoining) -> String {
    let reason =
      switch rejoining.loss {
      case .joined: "it joins the fleet"
      case .replaced: "the engine has another log than before"
      case .trimmed: "the log was trimmed past what was read"
      case .parted: "the log has lost its end further back than this PoP remembers"
      }
    return "all that is stored counts as purged\(rejoining.isSoft ? ", softly" : ""): \(reason)"
  }

  func rejoined(_ epoch: Int, _ failure: PurgeFailure?) {
    guard epoch == self.epoch else { return }
    if let failure { return startAgain("everything could not be purged: \(failure)") }
    follower.rejoined()
    client.progress.follow(follower.book.history, through: follower.readThrough)
    sendAgain()
  }

  /// Whether the log was looked at since the connection began.
  var isVerified: Bool {
    switch follower.phase {
    case .cut, .rejoining: false
    case .catchingUp, .following: true
    }
  }

  /// Goes back to what is durable.
  private func startAgain(_ reason: String) {
    note(reason)
    follower.disconnected()
    follower = LogFollower(store.fleetBook())
    follower.needsWord = readsReplica
    underWay = []
    client.progress.cut()
    epoch += 1
    generation += 1
    reader.giveUp(.givenUp(reason))
  }

  // MARK: Entries

  /// Applies what was read, and reads on.
  func follow() {
    apply()
    if isVerified, let position = follower.book.position { client.progress.didReach(position) }
    let places = follower.takeReadBack()
    if !places.isEmpty { stand(places) }
    noteStanding()
    readOn()
  }

  private func apply() {
    while underWay.count < Self.underWayLimit, let entry = follower.next() {
      var order = translate(entry.order)
      order.fleet = follower.mark(of: entry)
      if !order.isInRange {
        order.target = .everything
        order.isSoft = false
      }
      if order.target.isByPattern, !store.hasRoomForPatterns { return }
      let before = follower.book.position ?? .start
      let generation = generation
      let inbox = client.inbox
      client.progress.willReach(entry.place.position)
      store.purge(order) { outcome in
        if case .failure(let failure) = outcome {
          inbox.post(.applied(generation: generation, failure))
        } else {
          inbox.post(.applied(generation: generation, nil))
        }
      }
      underWay.append(before)
      follower.applied()
      status.applied &+= 1
      measure(entry.place.position)
    }
  }

  /// How long a purge took from the log to here, by the engine's clock.
  private func measure(_ position: LogPosition) {
    guard let engineNow else { return }
    let delay = max(0, engineNow - Int64(clamping: position.milliseconds))
    let place = FleetStatus.bounds.firstIndex { delay <= $0 } ?? FleetStatus.bounds.count
    status.delays[place] &+= 1
    status.delaySum &+= UInt64(delay)
  }

  func applied(_ generation: Int, _ failure: PurgeFailure?) {
    guard generation == self.generation, !underWay.isEmpty else { return }
    if let failure { return startAgain("a purge of the fleet could not be applied: \(failure)") }
    underWay.removeFirst()
    follower.durable()
  }

  private func readOn() {
    guard reader.isOpen, !isReading, follower.backlog < Self.portion else { return }
    switch follower.phase {
    case .cut, .rejoining: return
    case .catchingUp: break
    case .following:
      if listener.isOpen, now &- readAt < Self.readInterval { return }
    }
    isReading = true
    // What the log has afterwards the answer may lack, however late it comes.
    let asked = now
    checkHistory()
    if let last = follower.lastRead {
      let id = last.position.text
      reader.send(["XRANGE", settings.logKey, id, id], now: now) { [unowned self] reply in
        guard let reply, isWelcome(reply, reader) else { return }
        if reply.elements.first.flatMap({ Self.entry($0)?.place }) != last {
          reader.giveUp(.givenUp("the log has changed"))
        }
      }
    } else {
      reader.send(["XINFO", "STREAM", settings.logKey], now: now) { [unowned self] reply in
        guard let reply, reply.refusal == nil else { return }
        let added = UInt64(clamping: reply["entries-added"]?.number ?? 0)
        let length = UInt64(clamping: reply["length"]?.number ?? 0)
        if added &- length != follower.book.trimmed, follower.lastRead == nil {
          reader.giveUp(.givenUp("the log was trimmed"))
        }
      }
    }
    var entries: [LogEntry] = []
    reader.send(
      [
        "XREAD", "COUNT", "\(Self.portion)", "BLOCK", "\(Self.block)", "STREAMS", settings.logKey,
        follower.readThrough.text,
      ], now: now
    ) { [unowned self] reply in
      guard let reply, isWelcome(reply, reader) else { return }
      // [[key, [entry, …]]]
      let list = reply.elements.first?.elements.last?.elements ?? []
      entries = list.compactMap { Self.entry($0) }
      if !readsReplica { take(entries, asked) }
    }
    // A replica may have got another log meanwhile.
    checkHistory { [unowned self] in take(entries, asked) }
  }

  private func take(_ entries: [LogEntry], _ asked: Int64) {
    isReading = false
    readAt = now
    follower.read(entries, isAll: entries.count < Self.portion, now: asked)
  }

  /// Looks whether a replica that is read from has the log that the primary has.
  private func checkHistory(_ body: @escaping () -> Void = {}) {
    guard readsReplica else { return }
    reader.send(["GET", settings.historyKey], now: now) { [unowned self] reply in
      guard let reply, isWelcome(reply, reader) else { return }
      if reply.text.flatMap({ UInt64($0, radix: 16) }) == follower.book.history {
        body()
      } else {
        reader.giveUp(.givenUp("the replica has another log than the primary"))
      }
    }
  }

  /// `[id, [name, value, …]]`. What no PoP has written is an order that nobody understands.
  static func entry(_ reply: RedisReply) -> LogEntry? {
    guard reply.elements.count == 2,
      let position = reply.elements[0].text.flatMap({ LogPosition($0) })
    else { return nil }
    let fields = reply.elements[1]
    guard let pop = fields["p"]?.text.flatMap({ UInt64($0, radix: 16) }),
      let number = fields["n"]?.text.flatMap({ UInt64($0) }),
      let stamp = fields["r"]?.text.flatMap({ UInt64($0, radix: 16) }),
      let order = fields["o"]?.content
    else {
      let number = position.milliseconds &* 4_096 &+ position.number
      return LogEntry(
        place: LogPlace(position: position, pop: 0, number: number, stamp: 0), order: [])
    }
    return LogEntry(
      place: LogPlace(position: position, pop: pop, number: number, stamp: stamp), order: order)
  }

  // MARK: Standing

  /// Notes how far the log is read, where no purge has said so, once a second: all that was read is durable
  /// then.
  func noteStanding(isLast: Bool = false) {
    guard underWay.isEmpty, follower.underWay == 0, let position = follower.book.position,
      position != standingNoted, isLast || now &- standingNotedAt > 1_000_000_000
    else { return }
    standingNoted = position
    standingNotedAt = now
    store.noteStanding(follower.book)
  }
}

extension PurgeOrder.Target {
  /// Whether it takes one of the places for purges by pattern or condition.
  var isByPattern: Bool {
    switch self {
    case .pattern, .condition: true
    default: false
    }
  }
}
