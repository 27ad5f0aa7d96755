// A configuration on trial. Whoever applies one from afar may lock themselves out with it: an address that is
// gone, a limit that is too low. So it can be applied for a while, after which the node goes back by itself
// to what was in force before, unless somebody has said in between that all is well. Who applies another
// in that time does not confirm the first: all trials in a row end at what was in force before them.
//
// A reload, or a word to go back, ends a trial: then an operator is there.

internal import Admin
internal import Configuration
internal import Edge
internal import EventLoop
internal import Synchronization

extension Node {
  /// Goes by a text.
  func apply(
    _ bytes: [UInt8], _ generation: UInt64?, within time: Int64?
  ) -> ConfigurationAnswer {
    let texts = texts.withLock { $0 }
    guard let present = texts.present else {
      return .refused(ReloadRefusal("the node was started without a file"))
    }
    if let generation, generation != context.current.number {
      return .refused(
        ReloadRefusal(
          "generation \(context.current.number) is in force, and not \(generation): somebody was faster"
        ))
    }
    let text = ConfigurationText(
      name: present.name, directory: present.directory, bytes: bytes)
    let probation = time.map { time in
      let now = clock.now()
      let (end, isFar) = now.monotonic.addingReportingOverflow(time)
      return (
        target: texts.probation?.target ?? present,
        until: Instant(
          monotonic: isFar ? .max : end, wall: now.wall &+ time / 1_000_000)
      )
    }
    return apply(text, .applied, probation: probation)
  }

  /// Stays with what was applied.
  func confirm() -> ConfigurationAnswer {
    let confirmed = texts.withLock { texts in
      defer { texts.probation = nil }
      return texts.probation == nil ? nil : texts.present
    }
    guard let confirmed else {
      return .refused(ReloadRefusal("there is nothing to confirm"))
    }
    reloader.setAlarm(at: nil)
    let current = context.current
    holder?.hold(
      HoldingOrder(
        addresses: current.listenerNumbers, added: [], text: confirmed,
        drainTimeout: current.configuration.drainTimeout))
    note("the configuration is confirmed (generation \(current.number))")
    return .inForce(ReloadReport(generation: current.number))
  }

  /// Nobody has confirmed in time.
  func goBack() {
    guard let target = texts.withLock({ $0.probation?.target }) else { return }
    note("the configuration was not confirmed in time: going back")
    let answer = apply(target, .unconfirmed)
    tell(answer)
    if case .refused = answer { texts.withLock { $0.probation = nil } }
  }
}
