// The operator's way in: a small HTTP/1.1 server on a listener, a loop and a thread of its own, so that
// a flooded data plane still answers it. Here clarity comes before speed: requests become values with
// strings in them, and an answer is made as a whole and then sent.
//
//     AdminServer        starts and stops the thread
//       AdminLoop        the thread's loop: accepts, waits, rings timers, takes messages
//         AdminConnection    bytes in, one request at a time, bytes out
//           AdminService     from a request to an answer: route, access, handler
//             AdminRoute         the table of routes, from which docs/admin.md's comes too
//             Problem            every refusal (RFC 9457), in a table as well
//
// Nothing of it blocks or is waited for by a worker. It reads the figures that they count (each in its
// own memory) and hands purges to the store, whose journal answers through the loop's inbox.

package import Accounting
package import Edge
package import EventLoop
internal import Synchronization

/// The operator's listener.
package final class AdminServer: Sendable {
  private let loop: AdminLoopBox
  private let inbox: Inbox<AdminMessage>
  private let thread = Mutex<LoopThread?>(nil)

  /// A server on a listening socket; `start` runs it. It speaks TLS as long as the context has a
  /// certificate for it.
  ///
  /// - Parameters:
  ///   - audit: where changes are written down.
  ///   - warming: what fetches ahead of clients; nil: nothing can be warmed.
  ///   - note: called on the server's thread with a line for the operator's log, for each change.
  ///   - configuration: what is asked about the node's configuration.
  ///   - accounting: what was served; nil: nothing is kept.
  package init(
    listener: Listener, context: NodeContext, audit: AuditLog? = nil,
    warming: Warming? = nil,
    note: @escaping @Sendable (String) -> Void, configuration: (any ConfigurationControl)? = nil,
    accounting: AccountingBook? = nil
  ) throws(Errno) {
    let inbox = try Inbox<AdminMessage>()
    let path = UnixSocket.path(of: listener.socket)
    let isLoopback = Socket.localAddress(of: listener.socket)?.isLoopback ?? false
    let reach: AdminAccess.Reach = path != nil ? .socket : isLoopback ? .loopback : .network
    let service = AdminService(
      context: context,
      access: AdminAccess(context.tokens, reach),
      inbox: inbox, audit: audit, warming: warming, note: note, configuration: configuration,
      accounting: accounting)
    self.inbox = inbox
    loop = AdminLoopBox(
      try AdminLoop(
        listener: listener, isUnixSocket: path != nil, clock: context.clock, service: service,
        inbox: inbox))
  }

  /// Begins to answer, on a thread of its own. Does nothing the second time.
  package func start() {
    thread.withLock { thread in
      if thread == nil {
        thread = LoopThread(name: "weir-admin", isPrompt: true) { [loop] in loop.run() }
      }
    }
  }

  /// Ends the thread and closes every connection. Purges under way are still answered and noted, for
  /// at most 5 s. Blocks until then; does nothing if the server does not run.
  package func stop() {
    let running = thread.withLock { thread in
      let running = thread
      thread = nil
      return running
    }
    guard let running else { return }
    inbox.post(.stop)
    running.join()
  }
}

/// Carries the loop to the thread that runs it.
private final class AdminLoopBox: @unchecked Sendable {
  // Sendable because the loop is used by one thread only, from `run` on.
  private let loop: AdminLoop
  init(_ loop: AdminLoop) { self.loop = loop }
  func run() { loop.run() }
}

extension SocketAddress {
  /// Whether only this machine reaches it: 127.0.0.0/8 and ::1.
  var isLoopback: Bool {
    isIPv4 ? UInt32(truncatingIfNeeded: low) >> 24 == 127 : high == 0 && low == 1
  }
}
