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
  /// The same for the operator's listener; nil: it speaks HTTP in the clear.
  let admin: ServerTLSContext?
  /// What is not as it should be and stops nothing.
  package var notices: [String] { (context?.notices ?? []) + (admin?.notices ?? []) }
}

/// The certificates of a node. Shared by all workers.
package final class NodeCertificates: Sendable {
  private let shown: Mutex<PreparedCertificates>
  /// The operator's sessions are no clients' sessions.
  private let tickets: (clients: TicketKeyRing, operators: TicketKeyRing)

  /// Reads what a configuration names.
  package init(_ configuration: NodeConfiguration) throws(TLSLoadError) {
    guard let clients = TicketKeyRing(kept: configuration.keptTicketKeys),
      let operators = TicketKeyRing(kept: configuration.keptTicketKeys)
    else { throw TLSLoadError("tickets", .badSetting("there is no randomness")) }
    tickets = (clients, operators)
    shown = Mutex(try Self.prepare(configuration, tickets))
  }

  /// What connections begin with now.
  package var current: ServerTLSContext? { shown.withLock { $0.context } }

  /// What the operator's connections begin with now; nil: they are in the clear.
  package var admin: ServerTLSContext? { shown.withLock { $0.admin } }

  /// Reads and checks what a configuration names; what is shown stays as it is. Takes some milliseconds
  /// for each certificate.
  package func prepare(
    _ configuration: NodeConfiguration
  ) throws(TLSLoadError) -> PreparedCertificates { try Self.prepare(configuration, tickets) }

  private static func prepare(
    _ configuration: NodeConfiguration,
    _ tickets: (clients: TicketKeyRing, operators: TicketKeyRing)
  ) throws(TLSLoadError) -> PreparedCertificates {
    PreparedCertificates(
      context: try context(configuration.serverTLS(), tickets.clients),
      admin: try context(configuration.adminTLS, tickets.operators))
  }

  private static func context(
    _ settings: ServerTLSConfiguration?, _ tickets: TicketKeyRing
  ) throws(TLSLoadError) -> ServerTLSContext? {
    guard let settings else { return nil }
    // By the system's time, as OpenSSL goes by it.
    return try ServerTLSContext(settings, tickets: tickets, now: Int64(time(nil)))
  }

  /// Shows what was prepared. Workers take it when they are told (`NodeContext.showCertificates`).
  package func publish(_ prepared: PreparedCertificates) {
    shown.withLock { $0 = prepared }
  }

  /// Changes the key of tickets if its time is over; `now` is monotonic.
  package func rotateTickets(now: Int64, interval: Int64) {
    tickets.clients.rotateIfDue(now: now, interval: interval)
    tickets.operators.rotateIfDue(now: now, interval: interval)
  }
}
