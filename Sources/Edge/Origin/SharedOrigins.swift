// A worker's shared connections to a server, and those who wait for one.
//
// Without more, a hundred requests that come at once would make a hundred connections, each for one of them.
// So one request makes the connection (`maker`), and those that come meanwhile follow it: they begin on the
// connection when it is there, share its failure, and make their own if the server turns out to speak
// HTTP/1.1 only, which it is remembered by.

internal import EventLoop
internal import HTTP2
internal import Metrics
internal import Origins

/// What a worker has of a server that is offered HTTP/2.
final class SharedOrigins {
  /// Connections that carry requests, or may.
  var tokens: [UInt64] = []
  /// The request that makes one, and those that wait for it.
  var maker: OriginRequest?
  var followers: [OriginRequest] = []
  /// Whether the server chose HTTP/1.1 when it was asked last.
  var choosesHTTP1 = false

  /// The maker is through: who waited for it.
  func takeFollowers() -> [OriginRequest] {
    let taken = followers
    maker = nil
    followers = []
    return taken
  }
}

extension Worker {
  func sharedOrigins(of server: OriginServer) -> SharedOrigins {
    if let found = sharedOrigins[server.id] { return found }
    let made = SharedOrigins()
    sharedOrigins[server.id] = made
    return made
  }

  /// A connection to a server that takes another request beside those that it has. For one that must not
  /// be made twice, it is first heard what the connection has to say.
  func sharedOrigin(
    _ server: OriginServer, tls: OriginTLS?, mayRepeat: Bool
  ) -> OriginConnection? {
    guard let tokens = sharedOrigins[server.id]?.tokens else { return nil }
    for token in tokens {
      guard let connection = origins.element(token), connection.tls?.id == tls?.id else { continue }
      if !mayRepeat {
        connection.isReadable = true
        connection.advanceShared()
      }
      if connection.hasRoom { return connection }
    }
    return nil
  }

  /// Ends shared connections that nobody uses, of servers that are in no pool any more.
  func closeForeignShared(_ known: Set<Int>) {
    for (server, shared) in sharedOrigins where !known.contains(server) {
      for token in shared.tokens {
        guard let connection = origins.element(token) else { continue }
        connection.retire()
        connection.restIfUnused()
      }
    }
  }
}

extension OriginRequest {
  /// Whether the request may go by HTTP/2.
  var mayShare: Bool { side.mayShare && !isUpgrade && !needsHTTP1 }

  /// Begins on a shared connection, if there is one that has room.
  func beginShared(at server: OriginServer) -> Bool {
    guard mayShare,
      let shared = worker.sharedOrigin(server, tls: side.pool.tls, mayRepeat: mayRepeat),
      begin(on: shared)
    else { return false }
    worker.counters.add(.originConnectionsReused)
    return true
  }

  /// Waits for a connection that another request makes. False: it makes one itself, and others may wait
  /// for that.
  func follows(to server: OriginServer, _ connecting: Connecting) -> Bool {
    guard mayShare else { return false }
    let shared = worker.sharedOrigins(of: server)
    guard !shared.choosesHTTP1 else { return false }
    guard let maker = shared.maker else {
      shared.maker = self
      connecting.makesFor = shared
      return false
    }
    guard maker.side.pool.tls?.id == side.pool.tls?.id,
      shared.followers.count < side.http2Options.maxStreams - 1
    else { return false }
    connecting.follows = shared
    connecting.hasBegun = true
    shared.followers.append(self)
    setTimer(connecting.deadline)
    return true
  }

  /// It waits for nobody's connection any more.
  func stopFollowing(_ connecting: Connecting) {
    guard let shared = connecting.follows else { return }
    connecting.follows = nil
    shared.followers.removeAll { $0 === self }
  }

  /// What has become of the connection that it waited for.
  func makerIsThrough(_ outcome: MakingOutcome) {
    guard stage == .connecting, let connecting, connecting.follows != nil else { return }
    connecting.follows = nil
    self.connecting = nil
    setTimer(.max)
    switch outcome {
    case .made(let connection):
      if connection.hasRoom, begin(on: connection) {
        worker.counters.add(.originConnectionsReused)
      } else {
        seekConnection()
      }
    case .notShared: seekConnection()
    case .failed(let failure, let kind): tryFailed(failure, kind)
    }
  }
}

/// What became of a connection that others wait for.
enum MakingOutcome {
  /// It is there, and may have room.
  case made(OriginConnection)
  /// It is not for sharing, or nobody makes it any more.
  case notShared
  /// The server could not be reached.
  case failed(OriginFailure, TryFailure)
}
