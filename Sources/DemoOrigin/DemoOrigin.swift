// An origin to try a node with: static files, an API whose answers do on request what real origins do
// by accident, an echo, and counts of how often it was asked. The tests drive it too.
//
// It is a peer, not a product: a thread for each connection, blocking reads, no event loop and nothing
// of the node's own code between the bytes and the answer, so that it cannot share a mistake with what
// it tests. A thread blocks in poll(2) only, and always on two descriptors: its connection and the one
// that says stop. So stopping is prompt, in the middle of a delay too.

internal import CLinux
internal import EventLoop
import Synchronization

/// The demo origin.
package enum DemoOrigin {
  /// Starts an origin on a port of `host` (0: any free one), with files from a directory if one is named.
  package static func start(
    port: UInt16 = 0, host: String = "127.0.0.1", directory: String? = nil
  ) throws(DemoOriginError) -> RunningOrigin {
    guard let address = SocketAddress(host: host, port: port) else {
      throw DemoOriginError("\(host) is not a numeric address")
    }
    let files: StaticFiles?
    if let directory {
      guard let found = StaticFiles(directory: directory) else {
        throw DemoOriginError("\(directory) is not a directory that can be read")
      }
      files = found
    } else {
      files = nil
    }
    do throws(Errno) {
      let listener = try Socket.listen(on: address, shared: false)
      let bound = Socket.localAddress(of: listener)?.port ?? port
      let state = OriginState(stop: try StopSign(), files: files)
      return RunningOrigin(port: bound, state: state, listener: listener)
    } catch {
      throw DemoOriginError("listening on \(address): \(error)")
    }
  }

  /// Blocks the calling thread until the process is told to end (SIGINT, SIGTERM). To be called before
  /// any other thread is started, with what to start.
  package static func runUntilTerminated(
    _ start: () throws(DemoOriginError) -> RunningOrigin
  ) throws(DemoOriginError) {
    var signals = sigset_t()
    unsafe sigemptyset(&signals)
    unsafe sigaddset(&signals, SIGINT)
    unsafe sigaddset(&signals, SIGTERM)
    unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
    let origin = try start()
    // What `start` has printed may be waited for at the other end of a pipe.
    fflush(nil)
    var number: Int32 = 0
    _ = unsafe sigwait(&signals, &number)
    origin.stop()
  }
}

/// Why an origin cannot start.
package struct DemoOriginError: Error, CustomStringConvertible {
  /// What is wrong.
  package let description: String
  init(_ description: String) { self.description = description }
}

/// An origin at work.
package final class RunningOrigin: Sendable {
  /// Where it listens.
  package let port: UInt16
  private let state: OriginState
  private let accepting: LoopThread
  private let isStopped = Atomic(false)

  init(port: UInt16, state: OriginState, listener: consuming Descriptor) {
    self.port = port
    self.state = state
    let listener = listener.release()
    accepting = LoopThread(name: "origin-accept") { acceptConnections(listener, state) }
  }

  deinit { stop() }

  /// How often a path (without its query) has been asked for.
  package func requests(path: String) -> Int { state.requests(path: path) }

  /// How many requests there have been in all.
  package var requests: Int { state.allRequests.values.reduce(0, +) }

  /// Closes everything and waits until it is closed.
  package func stop() {
    guard isStopped.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged
    else { return }
    state.stop.raise()
    accepting.join()
  }
}

/// Takes connections until the stop sign is up, then waits for their threads.
private func acceptConnections(_ number: Int32, _ state: OriginState) {
  let listener = Descriptor(owning: number)
  var connections: [Int: LoopThread] = [:]
  let finished = FinishedThreads()
  var issued = 0
  while state.stop.wait(for: listener.number, Int16(POLLIN)) {
    var peer = SocketAddress(high: 0, low: 0, port: 0)
    for id in finished.take() { connections.removeValue(forKey: id)?.join() }
    do throws(Errno) {
      guard let connection = try Socket.accept(from: listener, address: &peer) else { continue }
      Socket.configureConnection(connection.number)
      let (id, socket) = (issued, connection.release())
      connections[id] = LoopThread(name: "origin-conn") {
        DemoConnection(DemoSocket(Descriptor(owning: socket), stop: state.stop), state).serve()
        finished.add(id)
      }
      issued += 1
    } catch {
      // Out of descriptors: those that are open must end before there is another.
      _ = state.stop.wait(milliseconds: 10)
    }
  }
  for thread in connections.values { thread.join() }
}
