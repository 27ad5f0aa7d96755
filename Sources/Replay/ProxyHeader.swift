internal import Bytes
internal import EventLoop

/// The PROXY protocol's first version (HAProxy's proxy-protocol.txt, §2.1): one line of text.
enum ProxyHeader {
  /// The line for a client's address as text; one that is none becomes UNKNOWN.
  static func line(client: ByteView, hash: UInt64, server: SocketAddress) -> [UInt8] {
    let port = UInt16(1_024 + hash % 60_000)
    guard !client.isEmpty, let address = SocketAddress(host: client.string, port: port) else {
      return Array("PROXY UNKNOWN\r\n".utf8)
    }
    if address.isIPv4 && server.isIPv4 {
      return Array("PROXY TCP4 \(address.host) \(server.host) \(port) \(server.port)\r\n".utf8)
    }
    // Both addresses are of one family: an IPv4 one is mapped (RFC 4291 §2.5.5.2).
    let source = address.isIPv4 ? "::ffff:\(address.host)" : address.host
    let target = server.isIPv4 ? "::ffff:\(server.host)" : server.host
    return Array("PROXY TCP6 \(source) \(target) \(port) \(server.port)\r\n".utf8)
  }
}
