// What becomes of a request's line: where it goes, what it looks like, and what is not to be read in it.
// Every route of the node has one channel, most often the same; records carry its number.

internal import Bytes
internal import EventLoop

/// Where the log goes.
package enum AccessLogDestination: Sendable, Equatable {
  /// A file, created if need be, appended to, opened anew by `reopen()`.
  case file(String)
  /// Standard output.
  case standardOutput
  /// An open descriptor, which stays its owner's.
  case descriptor(Int32)
  /// A syslog server.
  case syslog(SyslogTarget)
  /// Nowhere: only who watches sees it.
  case nowhere
}

/// One way of lines.
package struct AccessLogChannel: Sendable, Equatable {
  /// Where they go. Channels of one destination share it.
  package var destination: AccessLogDestination
  /// What they look like.
  package var format: AccessLogFormat
  /// Values that are left out.
  package var redaction: LogRedaction
  /// How clients' addresses are shown.
  package var addresses: ClientAddressStyle
  /// When its file is put aside; nil: never. Of channels of one file that of the first counts.
  package var rotation: LogRotation?

  /// A channel; what is not said is as usual.
  package init(
    _ destination: AccessLogDestination, format: AccessLogFormat = .json,
    redaction: LogRedaction = .usual(), addresses: ClientAddressStyle = .full,
    rotation: LogRotation? = nil
  ) {
    self.destination = destination
    self.format = format
    self.redaction = redaction
    self.addresses = addresses
    self.rotation = rotation
  }
}

/// How a client's address stands in lines.
package enum ClientAddressStyle: Sendable, Equatable {
  /// As it is, with its port.
  case full
  /// The network that it is in: the first 24 bits of IPv4, the first 48 of IPv6. No port.
  case shortened
  /// Another in its place, of a range that nobody has (fd00::/8, RFC 4193), always the same one for one
  /// address until the day (UTC) ends or the process does. The key is kept nowhere, so that nobody can find
  /// the address again by trying all of them. No port.
  case hashed
}

/// Puts addresses as a style has them. Used by one thread.
struct AddressMask: ~Copyable {
  let style: ClientAddressStyle
  private var day: Int64 = .min
  private var hash = SipHash(key: Hash128(low: 0, high: 0))

  /// The process's key, from which that of each day comes.
  private static let root = SipHash(key: Random.hash128())

  init(_ style: ClientAddressStyle) { self.style = style }

  /// The address as it is shown of a request that ended at `wall` (Unix time, milliseconds).
  mutating func shown(_ address: SocketAddress, at wall: Int64) -> SocketAddress {
    switch style {
    case .full: return address
    case .shortened:
      if address.isIPv4 {
        return SocketAddress(high: 0, low: address.low & ~0xFF, port: 0)
      }
      return SocketAddress(high: address.high & ~0xFFFF, low: 0, port: 0)
    case .hashed:
      let today = wall / 86_400_000
      if today != day {
        day = today
        hash = SipHash(key: Self.root.hash(UInt64(bitPattern: today), 0))
      }
      let other = hash.hash(address.high, address.low)
      return SocketAddress(
        high: 0xFD << 56 | other.high & (1 << 56 - 1), low: other.low, port: 0)
    }
  }
}
