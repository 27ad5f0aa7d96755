import Configuration

@testable import Origins

let second: Int64 = 1_000_000_000
let millisecond: Int64 = 1_000_000
/// A time to begin at, far from 0.
let start: Int64 = 1 << 50

extension OriginPool {
  /// A pool of servers on 10.0.0.1, .2 … with those weights.
  static func make(
    weights: [Int], successorOf former: OriginPool? = nil,
    _ change: (inout PoolSettings) -> Void = { _ in }
  ) -> OriginPool {
    var settings = PoolSettings(name: "shop")
    settings.servers = weights.enumerated().map { number, weight in
      var server = ServerSettings(.host("10.0.0.\(number + 1)", port: 80))
      server.weight = weight
      return server
    }
    change(&settings)
    return OriginPool(
      OriginConfiguration(name: "shop"), settings: settings, successorOf: former)
  }

  func balancer(worker: Int = 0, of workers: Int = 1, seed: UInt64 = 1) -> PoolBalancer {
    PoolBalancer(pool: self, worker: worker, of: workers, seed: seed)
  }
}

/// What choosing came to, without the attempt.
enum Chosen: Equatable {
  case server(Int)
  case queued
  case refused(ChoiceRefusal)
}

extension PoolBalancer {
  /// Chooses and keeps the attempt, if there is one.
  mutating func begin(
    _ request: ChoiceRequest = ChoiceRequest(), now: Int64 = start, into attempt: inout Attempt?
  ) -> Chosen {
    switch choose(request, now: now) {
    case .attempt(let made):
      let index = made.index
      attempt = consume made
      return .server(index)
    case .queued: return .queued
    case .refused(let refusal): return .refused(refusal)
    }
  }

  /// Chooses, has it answered, and ends it.
  @discardableResult
  mutating func serve(
    _ request: ChoiceRequest = ChoiceRequest(), status: UInt16 = 200, now: Int64 = start
  ) -> Chosen {
    switch choose(request, now: now) {
    case .attempt(var attempt):
      let index = attempt.index
      answered(&attempt, status: status, now: now)
      attempt.end(now: now)
      return .server(index)
    case .queued: return .queued
    case .refused(let refusal): return .refused(refusal)
    }
  }

  /// Chooses and has it fail; no further try.
  @discardableResult
  mutating func fail(
    _ failure: TryFailure = .connect, _ request: ChoiceRequest = ChoiceRequest(), now: Int64 = start
  ) -> Chosen {
    switch choose(request, now: now) {
    case .attempt(var attempt):
      let index = attempt.index
      var plan = TryPlan(settings: nil, isIdempotent: true, now: now)
      var tried = ServerSet()
      _ = failed(
        &attempt, failure, plan: &plan, tried: &tried, isReplayable: true, now: now)
      attempt.end(now: now)
      return .server(index)
    case .queued: return .queued
    case .refused(let refusal): return .refused(refusal)
    }
  }
}

extension Chosen {
  var server: Int? { if case .server(let index) = self { index } else { nil } }
}
