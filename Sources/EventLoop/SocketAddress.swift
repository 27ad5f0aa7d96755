internal import CLinux

/// An IPv4 or IPv6 address and a port.
package struct SocketAddress: Sendable, Hashable, CustomStringConvertible {
  /// The address as 16 bytes, big-endian, in two words; IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2).
  package var high: UInt64
  /// The low half.
  package var low: UInt64
  /// The port.
  package var port: UInt16
  /// Whether it is an IPv4 address.
  package var isIPv4: Bool { high == 0 && low &>> 32 == 0xFFFF }

  /// An address of two words; see `high`.
  package init(high: UInt64, low: UInt64, port: UInt16) {
    self.high = high
    self.low = low
    self.port = port
  }

  /// Reads a numeric address; an empty host is the unspecified IPv6 address.
  package init?(host: String, port: UInt16) {
    if host.isEmpty {
      self.init(high: 0, low: 0, port: port)
      return
    }
    var four = in_addr()
    if unsafe inet_pton(AF_INET, host, &four) == 1 {
      let word = UInt64(UInt32(bigEndian: four.s_addr))
      self.init(high: 0, low: 0xFFFF << 32 | word, port: port)
      return
    }
    var six: (UInt64, UInt64) = (0, 0)
    guard unsafe inet_pton(AF_INET6, host, &six) == 1 else { return nil }
    self.init(high: UInt64(bigEndian: six.0), low: UInt64(bigEndian: six.1), port: port)
  }

  /// Reads what the kernel filled in.
  init?(storage: sockaddr_storage) {
    var storage = storage
    switch Int32(storage.ss_family) {
    case AF_INET:
      // Safe: the family says which structure the storage holds.
      self = unsafe withUnsafeBytes(of: &storage) { bytes in
        let four = unsafe bytes.load(as: sockaddr_in.self)
        let word = UInt64(UInt32(bigEndian: four.sin_addr.s_addr))
        return SocketAddress(
          high: 0, low: 0xFFFF << 32 | word, port: UInt16(bigEndian: four.sin_port))
      }
    case AF_INET6:
      self = unsafe withUnsafeBytes(of: &storage) { bytes in
        let six = unsafe bytes.load(as: sockaddr_in6.self)
        let words = unsafe withUnsafeBytes(of: six.sin6_addr) {
          unsafe (
            $0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
          )
        }
        return SocketAddress(
          high: UInt64(bigEndian: words.0), low: UInt64(bigEndian: words.1),
          port: UInt16(bigEndian: six.sin6_port))
      }
    default: return nil
    }
  }

  /// Calls `body` with the kernel's form of the address.
  func withKernelForm<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
    if isIPv4 {
      var four = sockaddr_in()
      four.sin_family = sa_family_t(AF_INET)
      four.sin_port = port.bigEndian
      four.sin_addr.s_addr = UInt32(truncatingIfNeeded: low).bigEndian
      return unsafe withUnsafeBytes(of: &four) {
        unsafe body(
          $0.assumingMemoryBound(to: sockaddr.self).baseAddress.unsafelyUnwrapped,
          socklen_t($0.count))
      }
    }
    var six = sockaddr_in6()
    six.sin6_family = sa_family_t(AF_INET6)
    six.sin6_port = port.bigEndian
    unsafe withUnsafeMutableBytes(of: &six.sin6_addr) {
      unsafe $0.storeBytes(of: high.bigEndian, as: UInt64.self)
      unsafe $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
    }
    return unsafe withUnsafeBytes(of: &six) {
      unsafe body(
        $0.assumingMemoryBound(to: sockaddr.self).baseAddress.unsafelyUnwrapped,
        socklen_t($0.count))
    }
  }

  /// The address without the port, in the usual notation.
  package var host: String {
    var text = [CChar](repeating: 0, count: 64)
    if isIPv4 {
      var four = in_addr(s_addr: UInt32(truncatingIfNeeded: low).bigEndian)
      _ = unsafe inet_ntop(AF_INET, &four, &text, 64)
    } else {
      var six = (high.bigEndian, low.bigEndian)
      _ = unsafe inet_ntop(AF_INET6, &six, &text, 64)
    }
    return String(
      decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// `1.2.3.4:80` or `[::1]:80`.
  package var description: String { isIPv4 ? "\(host):\(port)" : "[\(host)]:\(port)" }
}
