// A miss waits here until its pool takes one more (`MissGate`, module Origins).

internal import Configuration
internal import EventLoop
internal import Metrics
internal import Origins

extension OriginRequest {
  /// Whether it is one of the misses that are counted: what is asked for the store, of a server.
  var isCountedMiss: Bool { fill.key != nil && !isQuestion }

  /// Goes on to the choice of a server, at once or when there is a place.
  func passGate() {
    guard !waitsForTurn() else { return }
    guard !hasMissPlace, isCountedMiss, let limit = side.pool.configuration.maxMisses else {
      choose()
      return
    }
    if goesOn {
      side.pool.enterMissAtOnce()
      hasMissPlace = true
      choose()
      return
    }
    switch side.pool.enterMiss(worker: worker.index, id: name(), limit: limit) {
    case .entered:
      hasMissPlace = true
      choose()
    case .waits(let ticket):
      missTicket = ticket
      stage = .gated
      // The others wait with it: each that went for itself would be one more in the line.
      fill.noteInLine()
      worker.counters.add(.missesDelayed)
      setTimer(worker.now.monotonic &+ side.pool.configuration.missTimeout)
    case .full: end(with: .tooBusy)
    }
  }

  /// There is a place.
  func missGranted() {
    missTicket = nil
    hasMissPlace = true
    fill.noteAsked(now: worker.now.monotonic)
    setTimer(.max)
    choose()
  }

  /// It has waited long enough.
  func missWaitedInVain() {
    // If it has just been granted a place, that is on its way.
    guard let ticket = missTicket, side.pool.leaveMissLine(ticket) else { return }
    missTicket = nil
    end(with: .queueTimeout)
  }

  /// Whether more may be read from the origin. Where its readers are slower than it, its place is others':
  /// a thousand clients that read nothing hold up nobody's misses.
  func mayReadOn() -> Bool {
    if fill.mayReadOn(now: worker.now.monotonic) { return true }
    leaveGate()
    watchSlowest()
    return false
  }

  /// Has its clients be looked at when the others have waited long enough for the slowest, which may not ask
  /// for anything.
  func watchSlowest() {
    guard stage == .content, file == nil, timer == .max, fill.waitsForSlowest else { return }
    setTimer(worker.now.monotonic &+ Fill.patience)
  }

  /// Gives back its place, or the one in the line.
  func leaveGate() {
    if let ticket = missTicket {
      missTicket = nil
      // If a place has been granted meanwhile, the worker gives it on: this request is not there.
      _ = side.pool.leaveMissLine(ticket)
    }
    guard hasMissPlace else { return }
    hasMissPlace = false
    side.pool.leaveMiss()
  }
}
