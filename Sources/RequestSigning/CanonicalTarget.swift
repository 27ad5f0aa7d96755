// The target of a request as it is sent and as it is signed.
//
// A signature covers a canonical form of path and query, which the service makes anew of what it gets. What
// it gets is therefore written so that every way of making it leads to the same: each octet that is not
// unreserved (RFC 3986 §2.3) is percent-encoded, in upper case, and nothing else is. A "+" in a query, which
// some services take for a space and others for itself, is sent as the space that forms mean by it.
//
// An encoded slash stays what it is: decoded it would be a cut that the node's routes have not seen.

internal import Bytes

/// A path and a query, each as sent and as signed.
struct CanonicalTarget: ~Copyable {
  var path = ByteBuffer()
  var signedPath = ByteBuffer()
  var query = ByteBuffer()
  var signedQuery = ByteBuffer()

  /// - Parameter isPathEncodedOnce: as S3 has it. Every other service encodes the path that it gets once
  ///   more, and takes dot segments and empty ones out.
  init(_ target: ByteView, isPathEncodedOnce: Bool, dropsQuery: Bool) {
    let mark = target.firstIndex(of: ASCII.question) ?? target.count
    let given = target.prefix(mark)
    if isPathEncodedOnce {
      PercentEncoding.appendNormalized(given, keeping: ASCII.slash, to: &path)
      signedPath.append(path.view)
    } else {
      path.append(given)
      Self.appendWithoutDots(given, to: &signedPath)
    }
    if signedPath.isEmpty { signedPath.append(ASCII.slash) }
    if !dropsQuery { readQuery(target.dropping(first: mark + 1)) }
  }

  private mutating func readQuery(_ text: ByteView) {
    var pairs: [(name: [UInt8], value: [UInt8])] = []
    var rest = text
    while !rest.isEmpty {
      let end = rest.firstIndex(of: 0x26) ?? rest.count
      let pair = rest.prefix(end)
      rest = rest.dropping(first: end + 1)
      if pair.isEmpty { continue }
      let equals = pair.firstIndex(of: ASCII.equals)
      let name = PercentEncoding.normalizedInQuery(pair.prefix(equals ?? pair.count))
      let value = equals.map { PercentEncoding.normalizedInQuery(pair.dropping(first: $0 + 1)) }
      if !query.isEmpty { query.append(0x26 as UInt8) }
      name.withView { query.append($0) }
      if let value {
        query.append(ASCII.equals)
        value.withView { query.append($0) }
      }
      pairs.append((name, value ?? []))
    }
    pairs.sort {
      $0.name == $1.name
        ? $0.value.lexicographicallyPrecedes($1.value) : $0.name.lexicographicallyPrecedes($1.name)
    }
    for (index, pair) in pairs.enumerated() {
      if index > 0 { signedQuery.append(0x26 as UInt8) }
      pair.name.withView { signedQuery.append($0) }
      signedQuery.append(ASCII.equals)
      pair.value.withView { signedQuery.append($0) }
    }
  }

  /// Appends a path without its dot segments (RFC 3986 §5.2.4) and its empty ones, each octet encoded.
  private static func appendWithoutDots(_ path: ByteView, to buffer: inout ByteBuffer) {
    var segments: [ByteView] = []
    var rest = path
    var endsInSlash = false
    while !rest.isEmpty {
      let end = rest.firstIndex(of: ASCII.slash) ?? rest.count
      let segment = rest.prefix(end)
      endsInSlash = end < rest.count
      rest = rest.dropping(first: end + 1)
      if segment == ByteView("..") {
        _ = segments.popLast()
        endsInSlash = true
      } else if segment == ByteView(".") {
        endsInSlash = true
      } else if !segment.isEmpty {
        segments.append(segment)
      }
    }
    for segment in segments {
      buffer.append(ASCII.slash)
      PercentEncoding.append(segment, to: &buffer)
    }
    if endsInSlash && !segments.isEmpty { buffer.append(ASCII.slash) }
  }
}

/// Percent-encoding as signatures want it.
enum PercentEncoding {
  /// Whether an octet never needs to be encoded (RFC 3986 §2.3).
  static func isUnreserved(_ byte: UInt8) -> Bool {
    ASCII.isDigit(byte) || ASCII.lowercase(byte) &- 0x61 < 26 || byte == 0x2D || byte == 0x2E
      || byte == 0x5F || byte == 0x7E
  }

  /// Appends octets, each encoded that is not unreserved.
  static func append(_ bytes: ByteView, to buffer: inout ByteBuffer) {
    for index in 0..<bytes.count { append(bytes[index], to: &buffer) }
  }

  private static func append(_ byte: UInt8, to buffer: inout ByteBuffer) {
    if isUnreserved(byte) { return buffer.append(byte) }
    buffer.append(0x25 as UInt8)
    let digits = ByteView("0123456789ABCDEF")
    buffer.append(digits[Int(byte >> 4)])
    buffer.append(digits[Int(byte & 0xF)])
  }

  /// Appends octets that are encoded in one way or another in that one way. `kept` stays as it is, and
  /// encoded where it is encoded.
  static func appendNormalized(_ bytes: ByteView, keeping kept: UInt8, to buffer: inout ByteBuffer)
  {
    var index = 0
    while index < bytes.count {
      let byte = bytes[index]
      index += 1
      if byte == 0x25, index + 1 < bytes.count, let high = ASCII.hexValue(bytes[index]),
        let low = ASCII.hexValue(bytes[index + 1])
      {
        index += 2
        append(high << 4 | low, to: &buffer)
      } else if byte == kept {
        buffer.append(byte)
      } else {
        append(byte, to: &buffer)
      }
    }
  }

  /// A name or value of a query, encoded in that one way.
  static func normalizedInQuery(_ bytes: ByteView) -> [UInt8] {
    var plain = ByteBuffer(capacity: bytes.count)
    for index in 0..<bytes.count {
      plain.append(bytes[index] == 0x2B ? ASCII.space : bytes[index])
    }
    var result = ByteBuffer(capacity: bytes.count)
    // No octet of a query is kept: what a name or value has is encoded.
    appendNormalized(plain.view, keeping: 0x7E, to: &result)
    return result.view.array
  }
}
