// A query as parameters: `name=value` between ampersands, either side percent-encoded, a plus meaning a
// space (application/x-www-form-urlencoded). Only places are kept; at most 64 of them, on the stack.

internal import Bytes

/// Where one parameter is in its query.
struct QueryParameter {
  var start: UInt32 = 0
  var nameEnd: UInt32 = 0
  var end: UInt32 = 0

  /// The name as sent.
  func name(_ query: ByteView) -> ByteView { query[Int(start)..<Int(nameEnd)] }

  /// The value as sent; empty if there is no equals sign.
  func value(_ query: ByteView) -> ByteView { query[min(Int(nameEnd) + 1, Int(end))..<Int(end)] }

  /// All of it.
  func text(_ query: ByteView) -> ByteView { query[Int(start)..<Int(end)] }
}

/// The parameters of a query that are not empty, in order.
struct QueryParameters {
  /// The most parameters that are read.
  static var greatestCount: Int { 64 }

  private var places = InlineArray<64, QueryParameter>(repeating: QueryParameter())
  private(set) var count = 0

  /// The parameters of a query; nil if there are more than `greatestCount`, or it is 4 GiB long.
  init?(_ query: ByteView) {
    guard UInt32(exactly: query.count) != nil else { return nil }
    var start = 0
    while start < query.count {
      let end = query.firstIndex(of: 0x26, from: start) ?? query.count
      if end > start {
        guard count < Self.greatestCount else { return nil }
        let equals = query[start..<end].firstIndex(of: ASCII.equals).map { start + $0 } ?? end
        places[count] = QueryParameter(
          start: UInt32(start), nameEnd: UInt32(equals), end: UInt32(end))
        count += 1
      }
      start = end + 1
    }
  }

  subscript(index: Int) -> QueryParameter { places[index] }

  /// Leaves out the parameters that are not wanted.
  mutating func keep(_ isWanted: (QueryParameter) -> Bool) {
    var kept = 0
    for index in 0..<count where isWanted(places[index]) {
      places[kept] = places[index]
      kept += 1
    }
    count = kept
  }

  /// Sorts by name; those of one name stay in order. By insertion: there are few.
  mutating func sort(_ precedes: (QueryParameter, QueryParameter) -> Bool) {
    var index = 1
    while index < count {
      let moved = places[index]
      var hole = index
      while hole > 0, precedes(moved, places[hole - 1]) {
        places[hole] = places[hole - 1]
        hole -= 1
      }
      places[hole] = moved
      index += 1
    }
  }
}

/// The bytes that an encoded text means, one after the other: `%41` is A, `+` is a space, and a percent
/// sign without two digits behind it is itself.
struct DecodedBytes {
  private let text: ByteView
  private var position = 0

  init(_ text: ByteView) { self.text = text }

  mutating func next() -> UInt8? {
    guard position < text.count else { return nil }
    let byte = text[position]
    position += 1
    if byte == 0x2B { return ASCII.space }
    guard byte == 0x25, text.count - position >= 2, let high = ASCII.hexValue(text[position]),
      let low = ASCII.hexValue(text[position + 1])
    else { return byte }
    position += 2
    return high << 4 | low
  }

  /// Whether one text comes before another, as the bytes they mean.
  static func precedes(_ left: ByteView, _ right: ByteView) -> Bool {
    var (one, other) = (DecodedBytes(left), DecodedBytes(right))
    while true {
      switch (one.next(), other.next()) {
      case (nil, let rest): return rest != nil
      case (_, nil): return false
      case (let first?, let second?): if first != second { return first < second }
      }
    }
  }

  /// Whether a text means these bytes.
  static func matches(_ text: ByteView, _ bytes: ByteView) -> Bool {
    var decoded = DecodedBytes(text)
    for index in 0..<bytes.count {
      guard decoded.next() == bytes[index] else { return false }
    }
    return decoded.next() == nil
  }
}
