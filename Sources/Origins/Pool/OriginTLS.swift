// TLS towards the servers of a pool: made once from its files, shared by all workers and the checks.

package import Configuration
package import EventLoop
import Synchronization
package import TLS

/// See the top of this file.
package final class OriginTLS: Sendable {
  /// Tells it apart from every other, for the life of the process: a connection that was made with one,
  /// or a session, is never used with another, which may trust less.
  package let id: Int
  private let context: ClientTLSContext
  /// The same with HTTP/2 among the protocols that are offered; nil: it is not.
  private let http2: ClientTLSContext?
  private let serverName: String?
  private static let lastID = Atomic<Int>(0)

  /// Reads the files; `now` is in seconds since 1970.
  package init(_ configuration: OriginTLSConfiguration, now: Int64) throws(TLSLoadError) {
    var settings = ClientTLSConfiguration()
    settings.verifies = configuration.verifies
    settings.authorities = configuration.authorities
    settings.certificate = configuration.certificate.map {
      CertificateFiles(chain: $0.chain, key: $0.key)
    }
    settings.minimumVersion =
      switch configuration.minimumVersion {
      case .tls12: .tls12
      case .tls13: .tls13
      }
    context = try ClientTLSContext(settings, now: now)
    if configuration.offersHTTP2 {
      settings.applicationProtocols = [.http2, .http1]
      http2 = try ClientTLSContext(settings, now: now)
    } else {
      http2 = nil
    }
    serverName = configuration.serverName
    id = Self.lastID.add(1, ordering: .relaxed).newValue
  }

  /// Whether HTTP/2 is offered.
  package var mayShare: Bool { http2 != nil }

  /// The node's end of a connection to a server, about to begin its handshake; nil if there is no memory.
  package func connect(
    on socket: borrowing Descriptor, to server: OriginServer, offersHTTP2: Bool = false,
    resuming session: borrowing TLSSession? = nil
  ) -> TLSConnection? {
    (offersHTTP2 ? http2 ?? context : context).connect(
      on: socket, host: serverName ?? server.host, resuming: session)
  }
}

extension OriginServer {
  /// The name or address that a certificate must have where nothing else is configured.
  fileprivate var host: String {
    switch location {
    case .host(let host, _): host
    case .unix: "localhost"
    }
  }
}
