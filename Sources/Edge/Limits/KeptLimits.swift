// What of limits survives a restart: in the store's directory,
//
//     limits.secret        16 bytes that keys are hashed with; whoever has them can choose keys that fall
//                          on each other, so only the node's user may read them
//     limits.overlay       changes of limits that were asked to be kept (see LimitChange.swift)
//     limit-NAME.quota     what each key has used of a quota (see QuotaLimiter)
//
// Quotas are written each minute and when the node stops, so that a node which is killed forgets a minute
// at most: its keys may have so much once more. All else of limits begins anew with a node.

internal import Bytes
package import Configuration
package import EventLoop
internal import RateLimiting

extension NodeLimits {
  /// Limits as configured, with what an earlier run has kept in a directory (nil: nothing is kept). What
  /// could not be taken over is told to `note`, and is no reason not to start.
  package static func open(
    _ configuration: NodeConfiguration, directory: String?, clock: NodeClock,
    note: (String) -> Void
  ) throws(LimitDefect) -> NodeLimits {
    guard let directory else {
      return try NodeLimits(configuration, secret: Random.hash128(), clock: clock)
    }
    let now = clock.now()
    let secret = Self.secret(in: directory, note: note)
    let overlay = directory + Self.overlayName
    let limits = try NodeLimits(
      configuration, secret: secret, overlayPath: overlay, clock: clock)
    if let bytes = StateFile.read(overlay) {
      if let changes = LimitOverlay.read(String(decoding: bytes, as: UTF8.self)) {
        for line in limits.apply(kept: changes, now: now.monotonic) { note(line) }
        if !changes.isEmpty {
          note("\(changes.count) limits are as \(overlay) says, not as the configuration does")
        }
      } else {
        note("\(overlay) is damaged: the limits are as the configuration says")
      }
    }
    for limit in limits.set.limits {
      limits.restore(limit, from: directory, time: now.wall / 1000, note: note)
    }
    return limits
  }

  private static var overlayName: String { "/limits.overlay" }

  /// Where things are kept.
  private var directory: String? {
    overlayPath.map { String($0.dropLast(Self.overlayName.count)) }
  }

  private static func secret(in directory: String, note: (String) -> Void) -> Hash128 {
    let path = directory + "/limits.secret"
    if let bytes = StateFile.read(path), bytes.count == 16 {
      return bytes.withView { Hash128(low: $0.uint64(at: 0), high: $0.uint64(at: 8)) }
    }
    let secret = Random.hash128()
    var buffer = ByteBuffer(capacity: 16)
    buffer.append(littleEndian: secret.low)
    buffer.append(littleEndian: secret.high)
    do throws(Errno) {
      try StateFile.write(buffer.view.array, to: path)
    } catch {
      note("\(path) cannot be written: \(error). Quotas are forgotten at the next start.")
    }
    return secret
  }

  /// Takes over what the file of a limit says, if that is a quota.
  private func restore(
    _ limit: Limit, from directory: String, time: Int64, note: (String) -> Void
  ) {
    guard case .quota(let quota) = limit.rule else { return }
    let path = Self.path(of: limit, in: directory)
    guard let bytes = StateFile.read(path) else { return }
    if !bytes.withView({ quota.restore($0, secret: hash.key, time: time) }) {
      note("\(path) is damaged or of another window: the quota \(limit.name) begins anew")
    }
  }

  /// Has quotas begin with what others have counted, or with what their files say.
  func inherit(
    _ inherited: [(number: Int, former: QuotaLimiter?)], time: Int64, note: (String) -> Void
  ) {
    for (number, former) in inherited {
      let limit = set.limits[number]
      guard let former else {
        if let directory { restore(limit, from: directory, time: time, note: note) }
        continue
      }
      guard case .quota(let quota) = limit.rule else { continue }
      var buffer = ByteBuffer()
      former.snapshot(into: &buffer, secret: hash.key)
      _ = quota.restore(buffer.view, secret: hash.key, time: time)
    }
  }

  /// Whether there is anything to keep besides changes.
  package var hasQuotas: Bool {
    self.set.limits.contains { if case .quota = $0.rule { true } else { false } }
  }

  /// Writes what each key has used of its quotas. Blocks on the disk.
  package func saveQuotas(to directory: String, note: (String) -> Void) {
    save(set.limits, to: directory, note: note)
  }

  /// Writes what each key has used of quotas that there are no more, in case they come back.
  func save(_ removed: [Limit], note: (String) -> Void) {
    if let directory { save(removed, to: directory, note: note) }
  }

  private func save(_ limits: [Limit], to directory: String, note: (String) -> Void) {
    for limit in limits {
      guard case .quota(let quota) = limit.rule else { continue }
      var buffer = ByteBuffer()
      quota.snapshot(into: &buffer, secret: hash.key)
      let path = Self.path(of: limit, in: directory)
      do throws(Errno) {
        try StateFile.write(buffer.view.array, to: path)
      } catch {
        note("\(path) cannot be written: \(error)")
      }
    }
  }

  private static func path(of limit: Limit, in directory: String) -> String {
    "\(directory)/limit-\(limit.name).quota"
  }

  /// Takes what is kept of limits out of the overlay; nil, or why that could not be written.
  func forget(_ names: Set<String>) -> String? {
    var problem: String?
    forget(names) { changes in
      guard let overlayPath else { return }
      do throws(Errno) {
        try StateFile.write(Array(LimitOverlay.text(changes).utf8), to: overlayPath)
      } catch {
        problem = "\(overlayPath) cannot be written: \(error)"
      }
    }
    return problem
  }

  /// Writes a change that is in force to the overlay, on top of those that are there; nil, or why not.
  package func keep(_ change: LimitChange, of number: Int) -> String? {
    guard let overlayPath else { return "the node has no store, beside which it could be kept" }
    var problem: String?
    _ = keep(change, of: configurations[number].name) { changes in
      do throws(Errno) {
        try StateFile.write(Array(LimitOverlay.text(changes).utf8), to: overlayPath)
        return true
      } catch {
        problem = "\(overlayPath) cannot be written: \(error)"
        return false
      }
    }
    return problem
  }
}
