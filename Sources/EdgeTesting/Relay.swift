// A stretch of network between a client and a node, of which a test says how it is: how long bytes are under
// way, and whether those of the node come through at all.

internal import EventLoop
import Synchronization

/// See the top of this file. Passes on what each side says, until both have ended.
package final class Relay: Sendable {
  private struct Lane: Sendable {
    /// What is under way: when it arrives, and the bytes; none are the end.
    var queue: [(due: WaitingRoom.Deadline, bytes: [UInt8])] = []
  }

  /// Where it listens, on 127.0.0.1.
  package let port: UInt16
  /// What clients have said, of all connections.
  package let said = Watched<[UInt8]>([])
  private let holds: Watched<Bool>
  private let serving: Task<Void, Never>

  /// Listens before a port of 127.0.0.1.
  ///
  /// - Parameters:
  ///   - holdsAnswers: whether what comes back is held until `release`.
  ///   - delay: how long bytes are under way in each direction, in nanoseconds.
  package init(
    to target: UInt16, holdsAnswers: Bool = false, delay: Int64 = 0
  ) throws(PeerFailure) {
    let (listener, bound) = try PeerSocket.listen(port: 0)
    port = bound
    let holds = Watched(holdsAnswers)
    self.holds = holds
    let said = said
    serving = Task {
      await withDiscardingTaskGroup { group in
        while !Task.isCancelled {
          let never = Watched(false)
          guard (try? await listener.waitToRead(orUntil: never) { $0 }) ?? false else { break }
          guard let client = try? listener.accept() else { continue }
          group.addTask {
            await Self.join(client, to: target, holds: holds, delay: delay) { bytes in
              said.update { $0 += bytes }
            }
          }
        }
      }
      listener.close()
    }
  }

  deinit { serving.cancel() }

  /// Lets through what was held, and what comes after it.
  package func release() { holds.update { $0 = false } }

  /// Ends all connections and takes no more.
  package func end() async {
    serving.cancel()
    await serving.value
  }

  private static func join(
    _ client: PeerSocket, to target: UInt16, holds: Watched<Bool>, delay: Int64,
    noting: @escaping @Sendable ([UInt8]) -> Void
  ) async {
    defer { client.close() }
    guard let address = SocketAddress(host: "127.0.0.1", port: target),
      let node = try? await PeerSocket.connect(to: address, from: nil, receiveBuffer: nil)
    else { return }
    defer { node.close() }
    await withDiscardingTaskGroup { group in
      let open = Watched(false)
      let (there, back) = (Watched(Lane()), Watched(Lane()))
      group.addTask { await read(client, into: there, delay: delay, noting) }
      group.addTask { await write(there, to: node, unless: open) }
      group.addTask { await read(node, into: back, delay: delay) { _ in } }
      group.addTask { await write(back, to: client, unless: holds) }
    }
  }

  private static func read(
    _ socket: PeerSocket, into lane: Watched<Lane>, delay: Int64,
    _ noting: @Sendable ([UInt8]) -> Void
  ) async {
    let never = Watched(false)
    while (try? await socket.waitToRead(orUntil: never) { $0 }) ?? false {
      // What is not written yet holds the reader back, as a network's queues do.
      let isBounded = (try? await lane.wait(for: "room") { $0.queue.count < 4_096 }) != nil
      guard isBounded, let arrival = try? socket.readAvailable(limit: 65_536, "relaying") else {
        continue
      }
      guard case .bytes(let bytes) = arrival, !bytes.isEmpty else { break }
      noting(bytes)
      let due = WaitingRoom.deadline(after: delay)
      lane.update { $0.queue.append((due, bytes)) }
    }
    let due = WaitingRoom.deadline(after: delay)
    lane.update { $0.queue.append((due, [])) }
  }

  private static func write(
    _ lane: Watched<Lane>, to socket: PeerSocket, unless holds: Watched<Bool>
  ) async {
    while !Task.isCancelled {
      guard (try? await lane.rest { !$0.queue.isEmpty }) != nil,
        (try? await holds.rest { !$0 }) != nil
      else { break }
      let next = lane.update { $0.queue.removeFirst() }
      if !WaitingRoom.shared.hasPassed(next.due) {
        _ = await WaitingRoom.shared.wait(for: -1, events: 0, until: next.due)
      }
      if next.bytes.isEmpty { break }
      guard (try? await socket.write(next.bytes, "relaying")) != nil else { break }
    }
    socket.shutdownSending()
  }
}

extension Watched {
  /// Waits, without a deadline, until the value is as `condition` wants it.
  fileprivate func rest(
    _ condition: @Sendable (Value) -> Bool
  ) async throws(PeerFailure) {
    while true {
      guard let ticket = look(condition).1 else { return }
      if await WaitingRoom.shared.wait(ticket, until: .never) == .cancelled {
        throw PeerFailure(.cancelled, "while resting")
      }
    }
  }
}
