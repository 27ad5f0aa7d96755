package import Bytes

/// A request method (RFC 9110 §9).
package enum Method: UInt8, CaseIterable, Sendable {
  case get, head, post, put, delete, options, trace, connect, patch, purge
  /// A method without a meaning here; passed on as it is.
  case other

  /// Whether the method asks for no change (RFC 9110 §9.2.1).
  package var isSafe: Bool {
    switch self {
    case .get, .head, .options, .trace: true
    default: false
    }
  }

  /// Whether doing it twice is the same as doing it once (RFC 9110 §9.2.2).
  package var isIdempotent: Bool {
    switch self {
    case .get, .head, .options, .trace, .put, .delete: true
    default: false
    }
  }

  /// The name; empty for `other`.
  package var name: StaticString {
    switch self {
    case .get: "GET"
    case .head: "HEAD"
    case .post: "POST"
    case .put: "PUT"
    case .delete: "DELETE"
    case .options: "OPTIONS"
    case .trace: "TRACE"
    case .connect: "CONNECT"
    case .patch: "PATCH"
    case .purge: "PURGE"
    case .other: ""
    }
  }

  /// The method of that name; names are case-sensitive (RFC 9110 §9.1).
  package static func identify(_ bytes: ByteView) -> Method {
    guard bytes.count >= 3 else { return .other }
    let candidate: Method
    switch (bytes.count, bytes[0]) {
    case (3, 0x47): candidate = .get
    case (3, 0x50): candidate = .put
    case (4, 0x48): candidate = .head
    case (4, 0x50): candidate = .post
    case (5, 0x54): candidate = .trace
    case (5, 0x50): candidate = bytes[1] == 0x41 ? .patch : .purge
    case (6, 0x44): candidate = .delete
    case (7, 0x4F): candidate = .options
    case (7, 0x43): candidate = .connect
    default: return .other
    }
    return bytes == ByteView(candidate.name) ? candidate : .other
  }
}
