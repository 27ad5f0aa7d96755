internal import Bytes
internal import HTTPMessage

/// A coding that a file may lie ready in.
package enum Precompression: CaseIterable, Sendable {
  // In the order in which they are preferred where a client likes them alike.
  /// Brotli (RFC 7932).
  case brotli
  /// Zstandard (RFC 8878).
  case zstandard
  /// Gzip (RFC 1952).
  case gzip

  /// Behind the file's name.
  package var suffix: String {
    switch self {
    case .brotli: ".br"
    case .zstandard: ".zst"
    case .gzip: ".gz"
    }
  }

  /// The content coding's name.
  package var coding: String {
    switch self {
    case .brotli: "br"
    case .zstandard: "zstd"
    case .gzip: "gzip"
    }
  }
}

/// `Accept-Encoding` (RFC 9110 §12.5.3).
struct AcceptedCodings {
  private var weights: [(name: [UInt8], weight: Int)] = []
  private var other: Int?

  init(_ value: [UInt8]?) {
    guard let value else { return }
    value.withView { view in
      for element in ListElements(view) {
        let end = element.firstIndex(of: ASCII.semicolon) ?? element.count
        let name = element.prefix(end).trimmingWhitespace
        let weight = Self.weight(element.dropping(first: end))
        if name == ByteView("*") {
          other = weight
        } else {
          weights.append((name.array.map { ASCII.lowercase($0) }, weight))
        }
      }
    }
  }

  /// How much a coding is liked, in thousandths; 0: not acceptable.
  func weight(of coding: Precompression) -> Int {
    let name = Array(coding.coding.utf8)
    if let found = weights.first(where: { $0.name == name }) { return found.weight }
    if coding == .gzip, let found = weights.first(where: { $0.name == Array("x-gzip".utf8) }) {
      return found.weight
    }
    return other ?? 0
  }

  /// `;q=0.5` in thousandths; 1000 without one, 0 for what is none.
  private static func weight(_ parameters: ByteView) -> Int {
    guard let equals = parameters.firstIndex(of: ASCII.equals) else { return 1000 }
    let digits = parameters.dropping(first: equals + 1).trimmingWhitespace
    guard !digits.isEmpty, digits.count <= 5 else { return 0 }
    var value = 0
    var scale = 1000
    for index in 0..<digits.count {
      if index == 1 {
        guard digits[1] == 0x2E else { return 0 }
        continue
      }
      guard ASCII.isDigit(digits[index]) else { return 0 }
      value += Int(digits[index] &- 0x30) * scale
      scale /= 10
    }
    return min(value, 1000)
  }
}
