// Queries that mean the same made the same, as an operator says: parameters dropped or kept by name,
// and sorted. The bytes of what stays are not touched, so that the result may be sent to the origin,
// and must be, wherever it is in the key: an answer to more than the key says is cache poisoning.
//
// Names are compared as the bytes they mean (`utm%5Fid` is `utm_id`), or else encoding would be a way
// around. What cannot be read whole, a query of more than 64 parameters, is left as it is: a key of its
// own, never a wrong one.

package import Bytes

/// A name with wildcards: `*` stands for any bytes, also none.
package struct NamePattern: Sendable, Equatable {
  private let pattern: [UInt8]

  /// A pattern; every byte but `*` stands for itself.
  package init(_ pattern: [UInt8]) { self.pattern = pattern }

  /// Whether a name, percent-encoded or not, matches. Takes at most as many steps as the lengths'
  /// product; a name longer than 256 bytes, decoded, matches nothing.
  package func matches(encoded name: ByteView) -> Bool {
    var decoded = InlineArray<256, UInt8>(repeating: 0)
    var count = 0
    var bytes = DecodedBytes(name)
    while let byte = bytes.next() {
      guard count < 256 else { return false }
      decoded[count] = byte
      count += 1
    }
    // Greedy, back to the last star: no recursion.
    var (at, text) = (0, 0)
    var (star, resume) = (-1, 0)
    while text < count {
      if at < pattern.count, pattern[at] == 0x2A {
        (star, resume) = (at, text)
        at += 1
      } else if at < pattern.count, pattern[at] == decoded[text] {
        at += 1
        text += 1
      } else if star >= 0 {
        resume += 1
        (at, text) = (star + 1, resume)
      } else {
        return false
      }
    }
    while at < pattern.count, pattern[at] == 0x2A { at += 1 }
    return at == pattern.count
  }
}

/// How queries are normalised.
package struct QueryNormalization: Sendable, Equatable {
  /// Whether parameters are sorted by name; those of one name keep their order.
  package var sorts: Bool
  /// Parameters with such names are dropped.
  package var drop: [NamePattern]
  /// Unless nil, parameters without such a name are dropped.
  package var keep: [NamePattern]?

  /// A normalisation; without arguments it changes nothing.
  package init(sorts: Bool = false, drop: [NamePattern] = [], keep: [NamePattern]? = nil) {
    self.sorts = sorts
    self.drop = drop
    self.keep = keep
  }

  /// Whether it changes nothing.
  package var isIdentity: Bool { !sorts && drop.isEmpty && keep == nil }

  /// Appends the normalised query, without a question mark; empty parameters (`&&`) are left out.
  /// Allocates nothing but what the buffer needs.
  package func append(_ query: ByteView, to buffer: inout ByteBuffer) {
    guard !isIdentity, var parameters = QueryParameters(query) else {
      return buffer.append(query)
    }
    if !drop.isEmpty || keep != nil {
      parameters.keep { isKept($0.name(query)) }
    }
    if sorts {
      parameters.sort { DecodedBytes.precedes($0.name(query), $1.name(query)) }
    }
    for index in 0..<parameters.count {
      if index > 0 { buffer.append(0x26 as UInt8) }
      buffer.append(parameters[index].text(query))
    }
  }

  private func isKept(_ name: ByteView) -> Bool {
    for index in drop.indices where drop[index].matches(encoded: name) { return false }
    guard let keep else { return true }
    for index in keep.indices where keep[index].matches(encoded: name) { return true }
    return false
  }
}
