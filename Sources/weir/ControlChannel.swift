// What a node and its supervisor say to each other, in packets:
//
//     sockets NUMBER          with the sockets of an address that is new; more of the same follow
//     hold DRAIN N,N,…        with the text, as a file in memory: hold these addresses and no others
//     held                    the answer: whatever else there was is closed
//
// The supervisor holds the listening sockets so that a node's death is a pause and not a refusal; so it
// must learn of those that a reload brings, and let go of those that it takes away: a socket that anybody
// still holds would go on taking connections that nobody accepts.

internal import CLinux
import Configuration
import EventLoop
import Node

/// The node's end.
final class ControlChannel: SocketHolder {
  private let socket: PacketSocket
  /// How long the supervisor may take.
  private static let patience: Int32 = 5_000

  init(_ socket: PacketSocket) { self.socket = socket }

  func hold(_ order: HoldingOrder) {
    do throws(Errno) {
      for (number, sockets) in order.added {
        let numbers = sockets.map { $0.socket.number }
        for start in stride(from: 0, to: numbers.count, by: PacketSocket.mostDescriptors) {
          let part = numbers[start..<min(start + PacketSocket.mostDescriptors, numbers.count)]
          try socket.send("sockets \(number)", descriptors: Array(part))
        }
      }
      let copy = try ConfigurationSource(order.text).copied()
      let list = order.addresses.map { String($0) }.joined(separator: ",")
      try socket.send("hold \(order.drainTimeout) \(list)", descriptors: [copy.number])
      _ = try socket.receive(milliseconds: Self.patience)
    } catch {
      StandardError.note("the supervisor does not answer: \(error)")
    }
  }
}

/// The sockets that a supervisor holds.
struct HeldSockets {
  private var addresses: [(number: Int, sockets: [Listener])]
  private let admin: Listener?
  /// Those that have come and are not in force yet.
  private var coming: [(number: Int, sockets: [Listener])] = []

  init(_ sockets: NodeListeners.Sockets) {
    addresses = sockets.data.enumerated().map { ($0.offset, $0.element) }
    admin = sockets.admin
  }

  /// By address and worker, and the admin's: for the process that inherits them.
  var numbers: (data: [[Int32]], admin: Int32?) {
    (addresses.map { $0.sockets.map { $0.socket.number } }, admin?.socket.number)
  }

  /// Takes a packet of the node's. For the last of an order: the text's copy and how long nodes drain.
  mutating func take(_ packet: PacketSocket.Packet) -> (text: Int32, drainTimeout: Int64)? {
    let words = packet.text.split(separator: " ", omittingEmptySubsequences: false)
    if words.count == 2, words[0] == "sockets", let number = Int(words[1]) {
      let sockets = packet.descriptors.map { Listener(Descriptor(owning: $0)) }
      if let place = coming.firstIndex(where: { $0.number == number }) {
        coming[place].sockets += sockets
      } else {
        coming.append((number, sockets))
      }
      return nil
    }
    if words.count == 3, words[0] == "hold", let drainTimeout = Int64(words[1]),
      let text = packet.descriptors.first
    {
      let known = addresses + coming
      coming = []
      addresses = words[2].split(separator: ",").compactMap { word in
        known.first { $0.number == Int(word) }
      }
      return (text, drainTimeout)
    }
    for number in packet.descriptors { close(number) }
    return nil
  }
}
