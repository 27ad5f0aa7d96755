// What a node and its supervisor say to each other, in packets:
//
//     sockets NUMBER          with the sockets of an address that is new; more of the same follow
//     hold DRAIN N,N,…        with the text, as a file in memory: hold these addresses and no others
//     held                    the answer: whatever else there was is closed
//     invalidate HASH         purge by that tag: from the node that drains to the one that has the store
//     a word                  `NodeWord` to the supervisor, `NodeOrder` to the node
//
// The supervisor holds the listening sockets so that a node's death is a pause and not a refusal; so it
// must learn of those that a reload brings, and let go of those that it takes away: a socket that anybody
// still holds would go on taking connections that nobody accepts.

internal import CLinux
import Configuration
import EventLoop
import Node
import Supervision

/// The node's end. Its packets are read by one thread, which waits for signals as well (`Start.node`).
final class ControlChannel: SocketHolder {
  let socket: PacketSocket
  private let held = Waiting()
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
      held.wait(milliseconds: Self.patience)
    } catch {
      StandardError.note("the supervisor does not answer: \(error)")
    }
  }

  func askForSuccessor() { say(.upgrade) }

  func forward(invalidation tag: UInt64) {
    try? socket.send("invalidate \(String(tag, radix: 16))")
  }

  /// Says a word to the supervisor.
  func say(_ word: NodeWord) {
    do throws(Errno) {
      try socket.send(word.rawValue)
    } catch {
      StandardError.note("the supervisor cannot be told: \(error)")
    }
  }

  /// What the supervisor says.
  enum Message {
    case order(NodeOrder)
    case invalidation(tag: UInt64)
    /// Nothing for the node.
    case other
  }

  /// Waits for what the supervisor says next, at most so many milliseconds (negative: for ever); nil if
  /// it said nothing. Throws when the supervisor is gone.
  func receive(milliseconds: Int32) throws(Errno) -> Message? {
    guard let packet = try socket.receive(milliseconds: milliseconds) else { return nil }
    for number in packet.descriptors { close(number) }
    if packet.text == "held" {
      held.wake()
      return .other
    }
    if let order = NodeOrder(rawValue: packet.text) { return .order(order) }
    if let tag = ControlChannel.invalidation(in: packet.text) { return .invalidation(tag: tag) }
    return .other
  }

  /// The tag's hash that a packet asks to purge by.
  static func invalidation(in text: String) -> UInt64? {
    let words = text.split(separator: " ")
    guard words.count == 2, words[0] == "invalidate" else { return nil }
    return UInt64(words[1], radix: 16)
  }

  /// Wakes a thread that waits for an answer.
  private final class Waiting: Sendable {
    private let waker = try? Waker()
    func wait(milliseconds: Int32) { waker?.wait(milliseconds: milliseconds) }
    func wake() { waker?.wake() }
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

  /// Those that another supervisor held.
  init(_ state: HandedOver) {
    func sockets(of addresses: [HandedOver.Address]) -> [(number: Int, sockets: [Listener])] {
      addresses.map { address in
        (address.number, address.sockets.map { Listener(Descriptor(owning: $0)) })
      }
    }
    addresses = sockets(of: state.addresses)
    coming = sockets(of: state.coming)
    admin = state.admin.map { Listener(Descriptor(owning: $0)) }
  }

  /// For another supervisor: the addresses in force, those that are coming, and the admin's.
  var handedOver: (addresses: [HandedOver.Address], coming: [HandedOver.Address], admin: Int32?) {
    func numbers(of all: [(number: Int, sockets: [Listener])]) -> [HandedOver.Address] {
      all.map {
        HandedOver.Address(number: $0.number, sockets: $0.sockets.map { $0.socket.number })
      }
    }
    return (numbers(of: addresses), numbers(of: coming), admin?.socket.number)
  }

  /// Numbers the addresses as a node does that has just got them.
  mutating func renumber() {
    addresses = addresses.enumerated().map { ($0.offset, $0.element.sockets) }
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
