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
    guard !hasMissPlace, isCountedMiss, let limit = side.pool.configuration.maxMisses else {
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
      worker.counters.add(.missesDelayed)
      setTimer(worker.now.monotonic &+ side.pool.configuration.missTimeout)
    case .full: end(with: .tooBusy)
    }
  }

  /// There is a place.
  func missGranted() {
    missTicket = nil
    hasMissPlace = true
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
