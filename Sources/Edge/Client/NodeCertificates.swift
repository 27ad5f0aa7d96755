// The certificates that a node shows, owned outside of its configuration, as pools and limits are: a reload
// replaces them as a whole, and a file that was renewed replaces them without a reload.
//
//   files ──► prepare ──► PreparedCertificates ──publish──► current ──► each worker's own reference
//               │ fails: nothing has changed
//
// A connection keeps the context that it began with; workers take the new one for the next handshake. The
// keys of tickets live on, so that sessions of before are resumed.

internal import CLinux
package import Configuration
import Synchronization
package import TLS

/// Certificates that were read and checked, ready to be shown.
package struct PreparedCertificates: Sendable {
  /// What connections begin with; nil: nobody speaks TLS.
  let context: ServerTLSContext?
  /// What is not as it should be and stops nothing.
  package var notices: [String] { context?.notices ?? [] }
}

/// The certificates of a node. Shared by all workers.
package final class NodeCertificates: Sendable {
  private let shown: Mutex<ServerTLSContext?>
  private let tickets: TicketKeyRing

  /// Reads what a configuration names.
  package init(_ configuration: NodeConfiguration) throws(TLSLoadError) {
    guard let ring = TicketKeyRing(kept: configuration.keptTicketKeys) else {
      throw TLSLoadError("tickets", .badSetting("there is no randomness"))
    }
    tickets = ring
    let prepared = try Self.prepare(configuration, ring)
    shown = Mutex(prepared.context)
  }

  /// What connections begin with now.
  package var current: ServerTLSContext? { shown.withLock { $0 } }

  /// Reads and checks what a configuration names; what is shown stays as it is. Takes some milliseconds
  /// for each certificate.
  package func prepare(
    _ configuration: NodeConfiguration
  ) throws(TLSLoadError) -> PreparedCertificates { try Self.prepare(configuration, tickets) }

  private static func prepare(
    _ configuration: NodeConfiguration, _ tickets: TicketKeyRing
  ) throws(TLSLoadError) -> PreparedCertificates {
    guard let settings = configuration.serverTLS() else {
      return PreparedCertificates(context: nil)
    }
    // By the system's time, as OpenSSL goes by it.
    return PreparedCertificates(
      context: try ServerTLSContext(settings, tickets: tickets, now: Int64(time(nil))))
  }

  /// Shows what was prepared. Workers take it when they are told (`NodeContext.showCertificates`).
  package func publish(_ prepared: PreparedCertificates) {
    shown.withLock { $0 = prepared.context }
  }

  /// Changes the key of tickets if its time is over; `now` is monotonic.
  package func rotateTickets(now: Int64, interval: Int64) {
    tickets.rotateIfDue(now: now, interval: interval)
  }
}
