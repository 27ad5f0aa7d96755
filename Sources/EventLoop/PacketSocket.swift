internal import CLinux

/// One end of a connection between two processes of this machine, on which packets keep their bounds and
/// carry descriptors along (unix(7), SCM_RIGHTS).
package final class PacketSocket: Sendable {
  /// What came.
  package struct Packet: Sendable {
    /// Its text.
    package let text: String
    /// The descriptors that came with it; whoever takes them owns them.
    package let descriptors: [Int32]
  }

  /// The most bytes of a packet, and the most descriptors.
  package static let mostBytes = 32 << 10
  package static let mostDescriptors = 253
  /// The socket.
  package let descriptor: Descriptor

  /// Takes over an end.
  package init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }

  /// Two ends that are connected.
  package static func pair() throws(Errno) -> (PacketSocket, PacketSocket) {
    var numbers: [Int32] = [-1, -1]
    let kind = Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    // Safe: the kernel writes the two numbers that there is room for.
    let result = unsafe numbers.withUnsafeMutableBufferPointer {
      unsafe socketpair(AF_UNIX, kind, 0, $0.baseAddress)
    }
    guard result == 0 else { throw .current }
    return (
      PacketSocket(Descriptor(owning: numbers[0])), PacketSocket(Descriptor(owning: numbers[1]))
    )
  }

  /// Sends a packet; waits while the other end is behind.
  package func send(_ text: String, descriptors: [Int32] = []) throws(Errno) {
    let bytes = Array(text.utf8)
    while true {
      let sent = unsafe weir_send_packet(
        descriptor.number, bytes, bytes.count, descriptors, descriptors.count)
      if sent >= 0 { return }
      if weir_errno() != EINTR { throw .current }
    }
  }

  /// Waits for a packet, at most so many milliseconds (negative: for ever); nil if none came.
  package func receive(milliseconds: Int32) throws(Errno) -> Packet? {
    var wait = pollfd(fd: descriptor.number, events: Int16(POLLIN), revents: 0)
    let ready = unsafe poll(&wait, 1, milliseconds)
    if ready < 0 && weir_errno() != EINTR { throw .current }
    guard ready > 0 else { return nil }
    var bytes = [UInt8](repeating: 0, count: Self.mostBytes)
    var numbers = [Int32](repeating: -1, count: Self.mostDescriptors)
    var count = 0
    let received = unsafe weir_receive_packet(
      descriptor.number, &bytes, bytes.count, &numbers, &count)
    if received < 0 {
      if weir_errno() == EINTR || weir_errno() == EAGAIN { return nil }
      throw .current
    }
    // Packets here are never empty: this is the other end's end.
    guard received > 0 else { throw Errno(EPIPE) }
    return Packet(
      text: String(decoding: bytes[..<received], as: UTF8.self),
      descriptors: Array(numbers[..<min(count, numbers.count)]))
  }
}
