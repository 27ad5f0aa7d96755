/// Where a Redis server is.
package struct RedisServer: Sendable, Equatable {
  /// A name or a numeric address.
  package let host: String
  /// The port.
  package let port: UInt16

  /// A server.
  package init(host: String, port: UInt16) {
    self.host = host
    self.port = port
  }

  /// `host:port`, with brackets around an IPv6 address.
  package var text: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// How an engine is reached.
package struct RedisSettings: Sendable, Equatable {
  /// Servers, or Sentinels if `primary` names one; tried in turn.
  package var servers: [RedisServer]
  /// The name by which Sentinels know the primary; nil: `servers` are the engine itself.
  package var primary: String?
  /// The ACL user; nil: the default one.
  package var user: String?
  /// Its password; nil: none is asked for.
  package var password: String?
  /// Whether connections are secured by TLS.
  package var isSecure = false
  /// The file of certificates that are trusted; nil: the system's.
  package var trustFile: String?
  /// Whether only the primary will do.
  package var needsPrimary = true
  /// Whether the first of the servers is tried first again after a connection has ended that was of use for
  /// a while (`RedisLink.trial`).
  package var prefersFirst = false
  /// Nanoseconds without an answer after which a connection is given up.
  package var timeout: Int64 = 2_000_000_000
  /// Nanoseconds of the longest wait between attempts; the first waits are shorter.
  package var longestWait: Int64 = 1_000_000_000

  /// Servers that are reached without TLS and password.
  package init(servers: [RedisServer]) { self.servers = servers }
}

/// What ended a connection, or an attempt.
package enum RedisFailure: Error, Sendable, Equatable, CustomStringConvertible {
  /// The name has no address.
  case unresolved(RedisServer)
  /// The socket failed, or the peer ended.
  case socket(String)
  /// TLS did.
  case tls(String)
  /// No answer in time.
  case silent
  /// The server refused what a connection begins with.
  case refused(String)
  /// It is a replica, or still loads its data, where the primary is wanted.
  case notPrimary
  /// The Sentinel does not know the primary.
  case unknownPrimary(String)
  /// What came is not the protocol.
  case damaged
  /// The owner has given it up.
  case givenUp(String)

  /// What went wrong, in a few words.
  package var description: String {
    switch self {
    case .unresolved(let server): "\(server.host) has no address"
    case .socket(let text): text
    case .tls(let text): "TLS: \(text)"
    case .silent: "no answer"
    case .refused(let text): "refused: \(text)"
    case .notPrimary: "it is not the primary"
    case .unknownPrimary(let name): "the Sentinel knows no primary \"\(name)\""
    case .givenUp(let text): text
    case .damaged: "what it answers is not Redis' protocol"
    }
  }
}
