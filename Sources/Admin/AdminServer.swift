package import Edge
package import EventLoop

/// The operator's listener.
package final class AdminServer: Sendable {
  /// A server on a listening socket; `start` runs it.
  package init(
    listener: Listener, token: String?, context: NodeContext,
    note: @escaping @Sendable (String) -> Void
  ) throws(Errno) {}

  /// Begins to answer, on a thread of its own.
  package func start() {}

  /// Ends the thread and closes every connection.
  package func stop() {}
}
